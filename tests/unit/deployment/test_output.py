"""What `deploy` prints: a line for people, or one JSON object for programs."""

import io
import json

import pytest

from runtime.cli.output import Form, Out
from runtime.deploy import show
from runtime.deployment.results import Result


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_a_program_gets_one_json_object_on_one_line(form: Form) -> None:
    out = Out(form, io.StringIO(), io.StringIO())
    show(out, "apply", "flageemonitor", Result("busy", "another deploy works on flageemonitor"), {"image": "a"})
    [line] = out.stdout.getvalue().splitlines()  # type: ignore[attr-defined]
    told = json.loads(line)
    assert (told["schema"], told["verb"], told["reason"], told["exit_code"]) == (1, "apply", "busy", 6)
    assert told["report"] == {"image": "a"}

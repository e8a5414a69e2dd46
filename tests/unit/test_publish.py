"""The publish gate's rules, on the files and labels of an image. The real images go through it in the end-to-end tests."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tools.publish import LICENCE, REVISION, VERSION, gate

SEALED = (
    b"# Pyarmor 9.2.8 (trial), 000000, non-profits\nfrom pyarmor_runtime_000000 import __pyarmor__\n"
    b"__pyarmor__(__name__, __file__, b'PY000000')\n"
)
FULL = SEALED.replace(b" (trial)", b" (pro)")
LABELS = {LICENCE: "full", VERSION: "1.2.3", REVISION: "abc"}


def image(module: bytes = FULL, *, labels: Mapping[str, str] = LABELS, **more: bytes) -> dict[str, bytes]:
    build = {"version": labels[VERSION], "revision": labels[REVISION], "licence": labels[LICENCE]}
    return {
        "flageemonitor/runtime/main.py": module,
        "flageemonitor/contracts/ids.py": module,
        "flageemonitor/build.json": json.dumps(build).encode(),
        **more,
    }


def test_a_protected_image_with_a_licence_passes() -> None:
    assert gate(image(), LABELS, allow_trial=False) == []


@pytest.mark.parametrize(
    "module",
    [
        b"",
        b"x = 1\n",
        b"def broken(",
        SEALED + b"x = 1\n",
        b"x = 1\n" + SEALED,
        b"from pyarmor_runtime_000000 import __pyarmor__\n",
        b"from elsewhere import __pyarmor__\n__pyarmor__(b'')\n",
    ],
)
def test_one_readable_module_refuses_the_image(module: bytes) -> None:
    files = {**image(), "flageemonitor/runtime/domain/new.py": module}
    assert "flageemonitor/runtime/domain/new.py" in gate(files, LABELS, allow_trial=True)[0]


def test_a_compiled_module_without_its_source_refuses_the_image() -> None:
    files = {**image(), "flageemonitor/runtime/__pycache__/hidden.cpython-311.pyc": b"..."}
    assert gate(files, LABELS, allow_trial=True)


def test_a_compiled_module_of_a_protected_one_is_fine() -> None:
    files = {**image(), "flageemonitor/runtime/__pycache__/main.cpython-311.pyc": b"..."}
    assert gate(files, LABELS, allow_trial=True) == []


def test_a_trial_is_pushed_only_with_the_option() -> None:
    labels = {**LABELS, LICENCE: "trial"}
    assert gate(image(SEALED, labels=labels), labels, allow_trial=True) == []
    assert gate(image(SEALED, labels=labels), labels, allow_trial=False)


def test_a_label_that_hides_a_trial_is_found_out() -> None:
    assert "says trial" in gate(image(SEALED), LABELS, allow_trial=True)[0]


@pytest.mark.parametrize("licence", ["none", "", "pro"])
def test_another_licence_is_never_pushed(licence: str) -> None:
    labels = {**LABELS, LICENCE: licence}
    assert gate(image(labels=labels), labels, allow_trial=True)


def test_an_image_without_a_version_or_with_contradicting_versions_is_refused() -> None:
    nameless = {**LABELS, VERSION: "0.0.0"}
    assert gate(image(labels=nameless), nameless, allow_trial=True)
    assert gate(image(), {**LABELS, VERSION: "1.2.4"}, allow_trial=True)


def test_the_wrong_target_is_refused() -> None:
    assert gate({}, LABELS, allow_trial=True)


def test_an_image_made_of_an_installation_is_refused() -> None:
    files = {**image(), "flageemonitor/config/token": b"fm1"}
    assert gate(files, LABELS, allow_trial=True)

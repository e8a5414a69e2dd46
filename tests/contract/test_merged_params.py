"""Parameters of a network and of a run: to a list that protects, a run only adds."""

from typing import Any

import pytest

from contracts.action_names import merged

ADDS = {"exceptions"}


@pytest.mark.parametrize(
    ("network", "run", "together"),
    [
        (["10.0.0.5"], ["10.0.0.9"], ["10.0.0.5", "10.0.0.9"]),
        (("10.0.0.5",), ("10.0.0.9",), ["10.0.0.5", "10.0.0.9"]),
        (None, ["10.0.0.9"], ["10.0.0.9"]),
        ("10.0.0.5", ["10.0.0.9"], "10.0.0.5"),  # no list: the run is refused for it, and nothing is lost meanwhile
        ({"ip": "10.0.0.5"}, ["10.0.0.9"], {"ip": "10.0.0.5"}),
        (["10.0.0.5"], "10.0.0.9", "10.0.0.9"),  # likewise
    ],
)
def test_a_run_never_replaces_what_a_network_protects(network: Any, run: Any, together: Any) -> None:
    assert merged({"exceptions": network}, {"exceptions": run}, ADDS) == {"exceptions": together}


def test_for_other_parameters_the_values_of_the_run_count() -> None:
    assert merged({"zone": "a", "windows": [1]}, {"windows": [2]}, ADDS) == {"zone": "a", "windows": [2]}

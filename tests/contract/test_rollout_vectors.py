"""The rollout's arithmetic, fixed for every implementation by vectors that another program made (see the file's `about`)."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.domain.rollout import basis_points, bucket

VECTORS = json.loads(Path(__file__).with_name("rollout_vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["buckets"], ids=lambda vector: f"{vector['salt']}:{vector['identity']}")
def test_a_bucket_is_the_digest_scaled_to_ten_thousand(vector: dict[str, Any]) -> None:
    assert bucket(vector["salt"], vector["identity"]) == vector["bucket"]
    assert int(vector["digest"], 16) * 10_000 >> 64 == vector["bucket"]


@pytest.mark.parametrize("vector", VECTORS["basis_points"], ids=lambda vector: str(vector["percent"]))
def test_a_percentage_is_counted_in_hundredths_of_a_percent(vector: dict[str, Any]) -> None:
    assert basis_points(Decimal(vector["percent"])) == vector["basis_points"]

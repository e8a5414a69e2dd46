"""The table of filters fits what it is written for: selectors, jobs, and a command line without two meanings of one option."""

from __future__ import annotations

import dataclasses
from collections import Counter

from contracts.config import JobSelector
from runtime.domain.filters import FILTERS
from runtime.domain.model import Selector

NO_FILTERS = {"limit", "all"}  # they say how many, not which


def test_every_filter_has_a_field_of_the_selector_and_every_field_a_filter() -> None:
    fields = {field.name for field in dataclasses.fields(Selector)} - NO_FILTERS
    rows = {one.field for one in FILTERS}
    assert rows - fields == set(), "filters without a field of Selector"
    assert fields - rows == set(), "fields of Selector without a filter"


def test_every_filter_of_a_job_has_a_field_of_the_job_s_selector_and_every_field_a_filter() -> None:
    rows = {one.job_field for one in FILTERS if one.job_field}
    fields = set(JobSelector.model_fields) - NO_FILTERS
    assert rows - fields == set(), "filters that name no field of JobSelector"
    assert fields - rows == set(), "fields of JobSelector without a filter: a job would be for more hosts than it says"


def test_no_option_belongs_to_two_filters() -> None:
    counted = Counter(option for one in FILTERS for option in one.options)
    assert [option for option, number in counted.items() if number > 1] == [], "options that two filters claim"

"""What pydantic says about a wrong value, as sentences that can be translated. English stays as pydantic words it. Pure.

A validator of ours raises ValueError with a sentence, which pydantic keeps beside its own text.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import ErrorDetails

from contracts.text import Text, recognised, say

_CHOICES = (say("Input should be {choices}"), say("{some} or {last}"))
_CLOCK = (
    say("input is too short"),
    say("unexpected extra characters at the end of the input"),
    say("invalid character in year"),
    say("invalid character in month"),
    say("invalid character in day"),
    say("invalid character in hour"),
    say("invalid character in minute"),
    say("invalid character in second"),
    say("invalid date separator, expected `-`"),
    say("invalid time separator, expected `:`"),
    say("invalid timezone sign"),
    say("month value is outside expected range of 1-12"),
    say("day value is outside expected range"),
    say("hour value is outside expected range of 0-23"),
    say("minute value is outside expected range of 0-59"),
    say("second value is outside expected range of 0-59"),
    say("time in seconds should be positive"),
)
_KINDS = (say("Tuple"), say("List"), say("Dictionary"))
# By the type of the error; the first sentence that fits is taken, and what stands in it is looked for among the same.
_SENTENCES: Mapping[str, tuple[Text, ...]] = {
    "bool_type": (say("Input should be a valid boolean"),),
    "bool_parsing": (say("Input should be a valid boolean, unable to interpret input"),),
    "datetime_type": (say("Input should be a valid datetime"),),
    "datetime_parsing": (say("Input should be a valid datetime, {problem}"), *_CLOCK),
    "datetime_from_date_parsing": (say("Input should be a valid datetime or date, {problem}"), *_CLOCK),
    "decimal_type": (say("Decimal input should be an integer, float, string or Decimal object"),),
    "decimal_parsing": (say("Input should be a valid decimal"),),
    "decimal_max_places": (
        say("Decimal input should have no more than 1 decimal place"),
        say("Decimal input should have no more than {most} decimal places"),
    ),
    "dict_type": (say("Input should be a valid dictionary"),),
    "enum": _CHOICES,
    "finite_number": (say("Input should be a finite number"),),
    "float_type": (say("Input should be a valid number"),),
    "float_parsing": (say("Input should be a valid number, unable to parse string as a number"),),
    "greater_than": (say("Input should be greater than {limit}"),),
    "greater_than_equal": (say("Input should be greater than or equal to {limit}"),),
    "int_type": (say("Input should be a valid integer"),),
    "int_parsing": (say("Input should be a valid integer, unable to parse string as an integer"),),
    "int_parsing_size": (say("Unable to parse input string as an integer, exceeded maximum size"),),
    "int_from_float": (say("Input should be a valid integer, got a number with a fractional part"),),
    "invalid_key": (say("Keys should be strings"),),
    "less_than": (say("Input should be less than {limit}"),),
    "less_than_equal": (say("Input should be less than or equal to {limit}"),),
    "list_type": (say("Input should be a valid list"),),
    "literal_error": _CHOICES,
    "model_type": (say("Input should be a valid dictionary or instance of {name}"),),
    "model_attributes_type": (say("Input should be a valid dictionary or object to extract fields from"),),
    "multiple_of": (say("Input should be a multiple of {number}"),),
    "none_required": (say("Input should be None"),),
    "string_type": (say("Input should be a valid string"),),
    "string_pattern_mismatch": (say("String should match pattern '{pattern}'"),),
    "string_too_short": (
        say("String should have at least 1 character"),
        say("String should have at least {least} characters"),
    ),
    "string_too_long": (
        say("String should have at most 1 character"),
        say("String should have at most {most} characters"),
    ),
    "string_unicode": (say("Input should be a valid string, unable to parse raw data as a unicode string"),),
    "time_type": (say("Input should be a valid time"),),
    "time_parsing": (say("Input should be in a valid time format, {problem}"), *_CLOCK),
    "too_short": (
        say("{kind} should have at least 1 item after validation, not {number}"),
        say("{kind} should have at least {least} items after validation, not {number}"),
        *_KINDS,
    ),
    "too_long": (
        say("{kind} should have at most 1 item after validation, not {number}"),
        say("{kind} should have at most {most} items after validation, not {number}"),
        *_KINDS,
    ),
    "tuple_type": (say("Input should be a valid tuple"),),
    "union_tag_invalid": (
        say("Input tag '{tag}' found using {name} does not match any of the expected tags: {choices}"),
    ),
    "union_tag_not_found": (say("Unable to extract tag using discriminator {name}"),),
}
# Those of ``ipaddress``, in our own validators.
_ADDRESSES = (
    say("'{text}' does not appear to be an IPv4 or IPv6 address"),
    say("'{text}' does not appear to be an IPv4 or IPv6 network"),
)


def sentence_of(error: ErrorDetails) -> str:
    """The text of one error, without pydantic's "Value error, " before a validator's own."""
    raised = error.get("ctx", {}).get("error")
    if error["type"] == "value_error" and isinstance(raised, ValueError):
        text = str(raised)
        return text if isinstance(text, Text) else recognised(text, _ADDRESSES)
    return recognised(error["msg"], _SENTENCES.get(error["type"], ()))

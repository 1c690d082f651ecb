"""Which form an Accept header asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ProblemError
from service.forms import CSV, FORMS, JSON, NDJSON, PLAIN, Form, acceptable

LIKED = {
    "": JSON,
    " , ": JSON,
    "*/*": JSON,
    "application/*": JSON,
    "text/*": PLAIN,
    "text/csv": CSV,
    "TEXT/CSV ; Q=0.5": CSV,
    "application/json;charset=utf-8": JSON,
    'text/csv; charset="UTF-8"; q=0.5, application/json;q=0.4': CSV,
    # How much, then how specifically, then how early.
    "application/json;q=0.5, application/x-ndjson": NDJSON,
    "text/csv, */*": CSV,
    "text/*, application/json": JSON,
    "text/csv, application/json": CSV,
    "text/html, application/xhtml+xml, */*;q=0.8": JSON,
    # The most specific range that fits a form says how much it is liked, even if that is not at all.
    "application/json;q=0, */*": NDJSON,
    "application/*;q=0, */*;q=0.1": PLAIN,
    "text/*;q=0.3, text/plain;q=0.2, */*;q=0.1": CSV,
    "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5": PLAIN,
    "*/*;q=0, text/csv;q=0.001": CSV,
    # What is malformed is as if it were not there.
    "text/csv;q=2, application/x-ndjson;q=0.1": NDJSON,
    "text/csv;q=nan, text/plain;q=1.": PLAIN,
    "text/csv;q=0.1234, text/plain;q=1.000": PLAIN,
    "text/csv;q=-1, text/csv;q=1e0, csv, /, ;, text/plain;": PLAIN,
}
REFUSED = [
    "image/png",
    "*/*;q=0",
    "application/json;q=0",
    "text/csv;q=x",
    "text/csv;header=absent",
    "json",
    "*",
    ";q=1",
]


@pytest.mark.parametrize(("accept", "form"), LIKED.items(), ids=LIKED)
def test_the_form_is_the_one_that_is_liked_best(accept: str, form: Form) -> None:
    assert acceptable(accept.encode()) is form


@pytest.mark.parametrize("accept", REFUSED)
def test_where_no_form_is_liked_those_that_there_are_are_named(accept: str) -> None:
    with pytest.raises(ProblemError, match="application/json, application/x-ndjson, text/plain, text/csv") as refused:
        acceptable(accept.encode())
    assert refused.value.kind == "not-acceptable"


@given(st.binary(max_size=50) | st.text("aptx/*csvlin;q=.01, \t", max_size=50).map(str.encode))
def test_any_header_names_a_form_or_is_refused(accept: bytes) -> None:
    refused = ""
    try:
        assert acceptable(accept) in FORMS
    except ProblemError as problem:
        refused = problem.kind
    assert refused in ("", "not-acceptable")

"""What a library says in an error, as it is told to a user."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpr.core.errors import in_brief


@given(st.text(max_size=2000), st.integers(1, 300))
def test_it_is_one_line_of_at_most_so_many_characters(said: str, most: int) -> None:
    brief = in_brief(ValueError(said), most)
    assert 0 < len(brief) <= most and len(brief.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "brief"),
    [
        (ValueError("bad\n  value"), "bad value"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 201), "x" * 199 + "…"),
        (ValueError("x" * 200), "x" * 200),
    ],
)
def test_what_fits_is_told_whole_and_what_says_nothing_by_its_kind(error: Exception, brief: str) -> None:
    assert in_brief(error) == brief

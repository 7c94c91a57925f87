from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkahead_embedded.errors import QueryError
from linkahead_embedded.regexp import Pattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[a-c0]", r"\d", r"\w", r"\.", r"[\w-]", "é", "-", "]"])


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    )


@given(pattern=st.recursive(ATOMS, joined, max_leaves=8), text=st.text(alphabet="abc.-]0é", max_size=8))
def test_answers_agree_with_the_backtracking_engine(pattern: str, text: str) -> None:
    assert Pattern(pattern).covers(text) == (re.fullmatch(pattern, text, re.DOTALL) is not None)


@pytest.mark.parametrize(
    "pattern", ["(", ")", "a**b)", "[", "[z-a]", "a{2,1}", "*", "(?<=a)b", r"\1", "a\\", "a^", "$a", "(a{1000}){1000}"]
)
def test_what_is_malformed_or_needs_backtracking_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError, match=r"regular expression"):
        Pattern(pattern)


def test_time_grows_with_the_text_and_not_with_the_ways_to_match_it() -> None:
    started = time.monotonic()
    assert not Pattern("(a+)+b").covers("a" * 100_000)
    assert not Pattern("(.*)*(.*)*x").covers("a" * 100_000)
    assert time.monotonic() - started < 5

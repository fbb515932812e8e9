"""Patterns of symbols and sources: what they match, how one escapes, and how a backend's language says them."""

from __future__ import annotations

import fnmatch

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.exceptions import DataError
from fpa_core.protocols.patterns import compiled, escape, name_of
from fpa_plugins.sqlite.schema import glob

texts = st.text(st.sampled_from("AB*?[]\\é-^"), max_size=6)
plain_patterns = st.text(st.sampled_from("AB*?[]é-^"), max_size=6)


@given(plain_patterns, texts)
def test_as_fnmatch_with_literal_brackets(pattern: str, name: str) -> None:
    """Without backslashes a pattern is one of fnmatch in which brackets mean themselves."""
    model = fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
    assert model == (compiled(pattern).fullmatch(name) is not None)


@given(texts, texts)
def test_escaped_means_itself(name: str, other: str) -> None:
    """An escaped name stands for that name alone."""
    assert name == name_of(escape(name))
    assert (name == other) == (compiled(escape(name)).fullmatch(other) is not None)


@given(texts, texts)
def test_sqlite_agrees(pattern: str, name: str) -> None:
    """SQLite's GLOB matches what the pattern matches, once it is translated."""
    try:
        matcher = compiled(pattern)
    except DataError:
        return
    answer = apsw.Connection(":memory:").execute("SELECT ? GLOB ?", (name, glob(pattern))).get
    assert (matcher.fullmatch(name) is not None) == bool(answer)


def test_one_name_or_many() -> None:
    """A text without stars is a name as it stands; one whose stars are all escaped is a name, too."""
    assert ["A\\B", "A*", "BRK[B]", None, None] == [name_of(text) for text in ("A\\B", "A\\*", "BRK[B]", "A*", "A?")]


def test_a_backslash_at_the_end() -> None:
    """A pattern that ends in a backslash is refused with a way out."""
    with pytest.raises(DataError, match="ends in a backslash"):
        name_of("A*\\")

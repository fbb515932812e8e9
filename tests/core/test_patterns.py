"""Patterns of symbols and sources: what they match, how one escapes, and how a backend's language says them."""

from __future__ import annotations

import fnmatch

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.engine.sql.statements import subject_condition
from fpa_core.exceptions import DataError
from fpa_core.kinds import QUOTES
from fpa_core.patterns import compiled, escape, name_of
from fpa_core.protocols import Query
from fpa_plugins.sqlite.session import SqliteSession, glob

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


wide = st.text(st.sampled_from("A*?\\\ud7ff\ue000\U0010ffff"), max_size=5)


@given(wide, wide)
def test_a_condition_with_its_range_agrees(pattern: str, name: str) -> None:
    """The range that stands beside a pattern in a statement leaves out no name that matches, whatever the last character before the star."""
    try:
        matcher = compiled(pattern)
    except DataError:
        return
    (condition,), bound = subject_condition(
        SqliteSession(apsw.Connection(":memory:")), "name", Query(QUOTES, patterns=(pattern,))
    )
    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO names VALUES (?)", (name,)
    )
    answer = connection.execute(f"SELECT name FROM names WHERE {condition}", bound).fetchall()
    assert (matcher.fullmatch(name) is not None) == bool(answer)


def test_the_beginning_of_a_pattern_is_searched_for() -> None:
    """An index serves for the names that begin alike, without a look at the others."""
    (condition,), bound = subject_condition(
        SqliteSession(apsw.Connection(":memory:")), "name", Query(QUOTES, patterns=("AB*",))
    )
    connection = apsw.Connection(":memory:")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
    plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT name FROM names WHERE {condition}", bound).fetchall()
    assert "SEARCH" in str(plan)


def test_one_name_or_many() -> None:
    """A text without stars is a name as it stands; one whose stars are all escaped is a name, too."""
    assert ["A\\B", "A*", "BRK[B]", None, None] == [name_of(text) for text in ("A\\B", "A\\*", "BRK[B]", "A*", "A?")]


def test_a_backslash_at_the_end() -> None:
    """A pattern that ends in a backslash is refused with a way out."""
    with pytest.raises(DataError, match="ends in a backslash"):
        name_of("A*\\")

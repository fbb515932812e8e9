"""The last row of a subject: the later one of the last hot row and what the catalog says of the last sealed one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.engine.sql.latest import latest_values
from fpa_core.exceptions import CorruptionError
from fpa_core.kinds import QUOTES, TRADES

KINDS = st.sampled_from([QUOTES, TRADES])


def hot(kind, ts):
    return (0, ts, *(f"hot {column.name}" for column in kind.columns))


def sealed(kind, ts):
    by_name = {column.name: f"sealed {column.name}" for column in kind.columns}
    return (1, ts, json.dumps(by_name), *(None for _ in kind.columns[1:]))


@given(KINDS, st.none() | st.integers(0, 3), st.none() | st.integers(0, 3), st.booleans())
def test_the_later_row_counts(kind, hot_at, sealed_at, turned):
    """Whichever is later is the last row, at one time the hot one; in whatever order the database gives them."""
    found = [row(kind, ts) for row, ts in ((hot, hot_at), (sealed, sealed_at)) if ts is not None]
    values = latest_values(kind, "A", found[::-1] if turned else found)
    if hot_at is None and sealed_at is None:
        assert values is None
    else:
        where = "hot" if hot_at is not None and (sealed_at is None or hot_at >= sealed_at) else "sealed"
        assert [f"{where} {column.name}" for column in kind.columns] == list(values)


def test_columns_of_later_versions_are_missing_in_older_rows():
    """What a sealed row of an earlier version did not have is None."""
    first = QUOTES.columns[0].name
    values = latest_values(QUOTES, "A", [(1, 5, json.dumps({first: "A"}))])
    assert ["A"] + [None] * (len(QUOTES.columns) - 1) == list(values)


def test_damage_names_the_subject():
    """A catalog that cannot be read is damage, and is told of which rows."""
    with pytest.raises(CorruptionError, match="quotes of A"):
        latest_values(QUOTES, "A", [(1, 5, "{")])

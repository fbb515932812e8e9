"""Arriving rows in the order and the form in which SQLite keeps them."""

from __future__ import annotations

from unittest.mock import patch

import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.engine import sorting
from fpa_core.kinds import QUOTES
from fpa_core.models import Quote


@given(st.lists(own.quotes(), min_size=1, max_size=20), st.sampled_from([1, 10**6]))
def test_subjects_are_told_apart(quotes: list[Quote], long: int) -> None:
    """Each subject gets its rows in order of time, equal times as they came, however many columns are put in order at once."""
    batch = to_table(QUOTES, quotes).combine_chunks().to_batches()[0]
    with patch.object(sorting, "_LONG", long):
        runs = sorting.partition(QUOTES, batch)
    for symbol in {quote.symbol for quote in quotes}:
        model = sorted((quote for quote in quotes if quote.symbol == symbol), key=lambda quote: quote.ts_ns)
        (part,) = (slice(start, end) for name, start, end in runs if name == symbol)
        assert [quote.ts_ns for quote in model] == runs.times[part].tolist()
        assert model == from_table(QUOTES, runs.table())[part]
    assert len(runs.subjects) == len({quote.symbol for quote in quotes})

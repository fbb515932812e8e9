"""Arriving rows in the order and the form in which SQLite keeps them."""

from __future__ import annotations

from unittest.mock import patch

import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.arrow.batches import to_decimal
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.kinds import QUOTES
from fpa_core.models import Quote
from fpa_plugins.sqlite import arranging


@given(st.lists(own.quotes(), min_size=1, max_size=20), st.sampled_from([1, 10**6]))
def test_subjects_are_told_apart(quotes: list[Quote], long: int) -> None:
    """Each subject gets its rows in order of time, equal times as they came, however many columns are put in order at once."""
    batch = to_table(QUOTES, quotes).combine_chunks().to_batches()[0]
    with patch.object(arranging, "_LONG", long):
        runs = dict(arranging.by_subject(QUOTES, batch))
    for symbol in {quote.symbol for quote in quotes}:
        model = sorted((quote for quote in quotes if quote.symbol == symbol), key=lambda quote: quote.ts_ns)
        assert [quote.ts_ns for quote in model] == runs[symbol].times.tolist()
        assert model == from_table(QUOTES, to_decimal(QUOTES, runs[symbol].rows, symbol))
    assert len(runs) == len({quote.symbol for quote in quotes})

"""Reads that demand fresh data: nobody computes on a feed that ended a year ago without being told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from fpa_core.exceptions import DataError, StaleDataError
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant, to_ns

NOON = to_ns("2024-05-01T12:00:00Z")
MINUTE = 60 * 10**9


class Clock:
    """A clock that is set."""

    now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the layer."""
    return Clock()


@pytest.fixture
def data(clock: Clock) -> Iterator[DataLayer]:
    """Open a layer with quotes of two symbols, ten and sixty minutes old, and a bar that has just ended."""
    with open_layer(":memory:", clock=clock) as layer:
        layer.store.save([quote("AAPL", 10), quote("AAPL", 90), quote("IBM", 60)])
        layer.store.save(Bar("AAPL", Instant(NOON - 5 * MINUTE), 1, 1, 1, 1, 1, "5m"))
        yield layer


def quote(symbol: str, minutes: float) -> Quote:
    """Return a quote of so many minutes before noon."""
    return Quote(symbol, Instant(NOON - int(minutes * MINUTE)), "1", "2")


READS: list[Callable[[DataLayer, Any], Any]] = [
    lambda data, age: data.store.latest("AAPL", max_age=age),
    lambda data, age: data.store.as_of("AAPL", "2024-05-01T12:00:00Z", max_age=age),
    lambda data, age: list(data.select(Quote, "AAPL", max_age=age)),
    lambda data, age: data.select(Quote, "AAPL", max_age=age).to_list(),
    lambda data, age: data.select(Quote, "AAPL", max_age=age).to_arrow(),
    lambda data, age: data.select(Quote, "AAPL", max_age=age).count(),
    lambda data, age: data.select(Quote, "AAPL", max_age=age).first(),
    lambda data, age: data.select(Quote, "AAPL", max_age=age, limit=1).reader().read_all(),
    lambda data, age: list(data.select(Quote, "AAPL", max_age=age, order="time", start="2024-05-01").batches()),
    lambda data, age: data.store.latest(["AAPL"], Quote, max_age=age),
    lambda data, age: data.store.as_of(["AAPL"], "2024-05-01T12:00:00Z", Quote, max_age=age),
    lambda data, age: data.select(Quote, "AA*", max_age=age).count(),
    lambda data, age: data.store.bars("AAPL", "1h", from_="mid", max_age=age).to_list(),
]


@pytest.mark.parametrize("read", READS)
def test_every_read_can_demand_it(data: DataLayer, read: Callable[[DataLayer, Any], Any]) -> None:
    """Whatever reads: what is fresh enough is returned; else the error says how old the newest is, also of an answer from the cache."""
    for fresh in (None, "10m", 600, timedelta(minutes=11)):
        assert read(data, fresh)
    with pytest.raises(StaleDataError) as caught:
        read(data, "9m")
    error = caught.value
    assert (600.0, 540.0, NOON - 10 * MINUTE, "quotes") == (error.age, error.max_age, error.newest_ns, error.kind)
    assert "is 10 minutes old, of 2024-05-01T11:50:00Z" in error.message
    assert "one of the last 9m was asked for" in error.message


def test_an_answer_grows_older(data: DataLayer, clock: Clock) -> None:
    """An answer that was fresh, and is remembered, is refused when it is no longer fresh; a new quote makes it fresh again."""
    selection = data.select(Quote, "AAPL", max_age="15m")
    assert 2 == len(selection.to_list())
    assert data.store.latest("AAPL", max_age="15m") is not None
    clock.now += 365 * 24 * 60 * MINUTE
    for read in (selection.to_list, selection.count, lambda: data.store.latest("AAPL", max_age="15m")):
        with pytest.raises(StaleDataError, match="is 365 days old"):
            read()
    assert 2 == data.select(Quote, "AAPL").count()
    data.store.save(Quote("AAPL", Instant(clock.now), 1, 2))
    assert 3 == selection.count()


def test_each_symbol_counts(data: DataLayer) -> None:
    """Of several symbols each has to be fresh, of a pattern and of all the newest; a symbol without any is not fresh."""
    assert 3 == data.select(Quote, ["AAPL", "IBM"], max_age="60m").count()
    with pytest.raises(StaleDataError) as caught:
        data.select(Quote, ["AAPL", "IBM"], max_age="30m").count()
    assert "IBM" == caught.value.symbol
    assert 3 == data.select(Quote, max_age="30m").count()
    with pytest.raises(StaleDataError, match="there are no quotes of MSFT") as caught:
        data.select(Quote, ["AAPL", "MSFT"], max_age="30m").count()
    assert (None, None) == (caught.value.newest_ns, caught.value.age)
    with pytest.raises(StaleDataError, match="no quotes of MSFT"):
        data.store.latest("MSFT", max_age="1d")
    assert data.store.latest("MSFT") is None
    with pytest.raises(StaleDataError, match="IBM"):
        data.store.latest(None, Quote, max_age="30m")
    with pytest.raises(StaleDataError, match="of MSFT"):
        data.store.latest(["AAPL", "MSFT"], Quote, max_age="30m")


def test_the_age_of_a_bar_counts_from_its_end(data: DataLayer, clock: Clock) -> None:
    """A bar that has just ended is of now, and so is one that goes on."""
    assert data.store.latest("AAPL", Bar, max_age=0) is not None
    clock.now -= 2 * MINUTE
    assert data.store.latest("AAPL", Bar, max_age=0) is not None
    clock.now += 3 * MINUTE
    with pytest.raises(StaleDataError) as caught:
        data.select(Bar, "AAPL", interval="5m", max_age=59).count()
    assert 60.0 == caught.value.age


def test_questions_about_the_past(data: DataLayer, clock: Clock) -> None:
    """The end of a range, the instant of `as_of` and the moment of knowledge count as now, if they are earlier."""
    clock.now += 24 * 60 * MINUTE
    assert 2 == data.select(Quote, "AAPL", end=Instant(NOON), max_age="10m").count()
    with pytest.raises(StaleDataError):
        data.select(Quote, "AAPL", end=Instant(NOON + MINUTE), max_age="10m").count()
    assert data.store.as_of("AAPL", Instant(NOON), max_age="10m") is not None
    known = Instant(data.store.batches()[0].recorded_ns + 1)
    clock.now = known + 365 * 24 * 60 * MINUTE
    with pytest.raises(StaleDataError) as caught:
        data.select(Quote, "AAPL", as_known_at=known, max_age="10m").count()
    assert (known - NOON + 10 * MINUTE) / 10**9 == caught.value.age
    with pytest.raises(StaleDataError):
        data.select(Quote, "AAPL", start=Instant(NOON - MINUTE), end=Instant(NOON), max_age="1m").count()


def test_what_is_no_age(data: DataLayer) -> None:
    """An age that is no duration is refused when the question is asked."""
    for wrong in ("yesterday", -1, float("nan"), []):
        with pytest.raises(DataError, match="max_age"):
            data.select(Quote, "AAPL", max_age=wrong)


def test_a_description_reads_nothing(data: DataLayer) -> None:
    """The repr and the preview of a selection show what it demands, and do not demand it."""
    selection = data.select(Quote, "AAPL", max_age="1s")
    assert "max_age='1s'" in repr(selection)
    assert "AAPL" in selection._repr_html_()

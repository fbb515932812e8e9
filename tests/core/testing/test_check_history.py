"""The check of histories: it passes a source that keeps its promises, and names the promise that another one breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define, evolve, field

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import QUOTES, TRADES
from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Chunk, Estimate, HistoryRequest, Page, RateLimit
from fpa_core.testing import check_history

SECOND = 10**9
REQUEST = HistoryRequest(kind=QUOTES, symbol="A", start=0, end=100 * SECOND)


def quote(second: int, size: int = 1) -> Quote:
    return Quote("A", Instant(second * SECOND), 1, 2, size, size)


ROWS = [quote(1), quote(2), quote(2), quote(50), quote(99)]


@define
class Honest:
    """A source that keeps its promises, two rows a page; what subclasses change is wrong."""

    rows: list[Any] = field(factory=lambda: list(ROWS))
    capabilities: frozenset[Capability] = frozenset({Capability.HISTORY})
    origin: str = "honest"
    settles: float = 0.0
    calendar: str | None = None
    limit: RateLimit | None = None
    fetched: int = 0

    def estimate(self, _: HistoryRequest) -> Estimate:
        return Estimate(1, len(self.rows))

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        self.fetched += 1
        found = [row for row in self.rows if request.start <= row.ts_ns < request.end]
        for place in range(0, len(found), 2):
            if request.stop.is_set():
                return
            yield page_of(found[place : place + 2], found[place : place + 2][-1].ts_ns)
        if not request.stop.is_set():
            yield Page(None, request.end)


def page_of(rows: list[Any], until: int, kind: Any = QUOTES) -> Page:
    """Return a page of rows."""
    return Page(Chunk(kind, to_table(kind, rows), range(1, len(rows) + 1)), until)


def broken(change: Callable[[Any, HistoryRequest, list[Page]], list[Page]]) -> Honest:
    """Return a source whose pages are changed."""

    class Broken(Honest):
        def history(self, request: HistoryRequest) -> Iterator[Page]:
            yield from change(self, request, list(super().history(request)))

    return Broken()


def test_an_honest_source() -> None:
    """The records of a source that keeps its promises are returned."""
    assert ROWS == check_history(Honest(), REQUEST)
    assert [] == check_history(Honest([]), REQUEST)


def unstable(source: Any, _: HistoryRequest, pages: list[Page]) -> list[Page]:
    return pages if source.fetched == 1 else pages[1:]


def inclusive(source: Any, request: HistoryRequest, _: list[Page]) -> list[Page]:
    found = [row for row in source.rows if request.start <= row.ts_ns <= request.end]
    return [page_of(found, request.end)] if found else [Page(None, request.end)]


def deaf(_: Any, request: HistoryRequest, pages: list[Page]) -> list[Page]:
    return pages if not request.stop.is_set() else [Page(None, request.end)]


def boundary(source: Any, request: HistoryRequest, pages: list[Page]) -> list[Page]:
    """Leave out rows of the very start, as a source that takes it for excluded."""
    rows = [row for row in source.rows if request.start < row.ts_ns < request.end]
    return [page_of(rows, request.end)] if rows else pages


BROKEN: dict[str, tuple[Callable[[Any, HistoryRequest, list[Page]], list[Page]], str]] = {
    "it ends early": (lambda _, __, pages: pages[:-1], "the last page of a complete history"),
    "it loses rows the second time": (unstable, "the same rows each time"),
    "its end is included": (inclusive, "outside of the range"),
    "its start is excluded": (boundary, "each once"),
    "its pages are in no order": (lambda _, __, pages: pages[::-1], "until goes back"),
    "its rows are in no order": (
        lambda _, request, __: [page_of([quote(2), quote(1)], request.end)], "comes after one of",
    ),
    "it claims too much": (
        lambda _, request, __: [page_of([quote(1)], 50 * SECOND), page_of([quote(2)], request.end)], "were delivered",
    ),
    "it claims the future": (lambda _, request, pages: [*pages, Page(None, request.end + 1)], "after the request's end"),
    "it gives other symbols": (
        lambda _, request, __: [page_of([evolve(quote(1), symbol="B")], request.end)], "'B'",
    ),
    "it gives other kinds": (
        lambda _, request, __: [page_of([Trade("A", Instant(SECOND), 1, 1)], request.end, TRADES)], "trades were not",
    ),
    "it does not hear": (deaf, "claims to cover rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_sources(name: str) -> None:
    """Each broken source is caught, by the promise that it breaks."""
    change, promise = BROKEN[name]
    with pytest.raises(AssertionError, match=promise):
        check_history(broken(change), REQUEST)


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"capabilities": frozenset()}, "HISTORY"),
        ({"origin": ""}, "origin"),
        ({"settles": -1.0}, "settles"),
        ({"calendar": ""}, "calendar"),
        ({"limit": RateLimit(0, 60.0)}, "limit"),
    ],
)
def test_what_is_declared(changes: dict[str, Any], promise: str) -> None:
    """What a source declares has to make sense."""
    with pytest.raises(AssertionError, match=promise):
        check_history(Honest(**changes), REQUEST)

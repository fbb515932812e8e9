"""Sources: ranges, gaps, batches of history, the queue of live data, the limiter, and a collector over a source of the tests' own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from live_collector import Running, wait_until

from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.calendars import session_days
from fpa_core.cli.live import orders_text, status_text
from fpa_core.exceptions import ConfigError, DataError, SourceError
from fpa_core.kinds import BARS, QUOTES, TRADES
from fpa_core.layer import DataLayer, open_layer
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant, to_ns
from fpa_core.plugins import PluginManager
from fpa_core.protocols import (
    Capability,
    Chunk,
    Correction,
    CoverageEntry,
    Estimate,
    HistoryRequest,
    LiveRequest,
    LiveSink,
    Page,
    RateLimit,
    Reject,
)
from fpa_core.sources.gaps import Gap, Subject, expected_times, find_gaps, merge_coverage, plan_fetches, settled_until
from fpa_core.sources.history import parts
from fpa_core.sources.live import CollectorOptions, CollectorStatus
from fpa_core.sources.orders import FollowStatus
from fpa_core.sources.queue import EventQueue, Policy
from fpa_core.sources.ranges import intersection, subtract, total, union
from fpa_core.sources.rates import RateLimiter

SECOND = 10**9
DAY = 86_400 * SECOND
T0 = to_ns("2024-05-01T00:00:00Z")

# Ranges

small = st.integers(0, 30)
some_ranges = st.lists(st.tuples(small, small), max_size=6)


def instants(ranges: Any) -> set[int]:
    return {at for start, end in ranges for at in range(start, end)}


@given(some_ranges, some_ranges)
def test_ranges_are_sets(one: list[Any], other: list[Any]) -> None:
    """Union, difference and intersection of ranges are those of their instants; the ranges are sorted, apart and not empty."""
    left, right = union(one), union(other)
    assert instants(one) == instants(left)
    assert instants(left) - instants(right) == instants(subtract(left, right))
    assert instants(left) & instants(right) == instants(intersection(left, right))
    assert len(instants(left)) == total(left)
    for found in (left, subtract(left, right), intersection(left, right)):
        assert all(start < end for start, end in found)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(found))


# Calendars and gaps


def day(text: str) -> int:
    """Return midnight of a day in New York, in summer."""
    return to_ns(f"{text}T04:00:00Z")


def test_session_days() -> None:
    """Days of sessions begin at midnight in New York, also where the clock changes; half days are days, holidays and weekends are not."""
    days = session_days("XNYS")

    def is_day(text: str) -> bool:
        return any(start <= day(text) + 12 * 3600 * SECOND < end for start, end in days)

    assert [True, False, False, True] == [is_day(f"2024-05-{n}") for n in (24, 25, 27, 28)]
    assert [True, False, True] == [is_day(f"2024-07-0{n}") for n in (3, 4, 5)]
    (winter,) = [one for one in days if one[0] <= to_ns("2024-01-10T17:00:00Z") < one[1]]
    assert "05:00" == datetime.fromtimestamp(winter[0] / 1e9, UTC).strftime("%H:%M")
    with pytest.raises(ConfigError, match="XXXX"):
        session_days("XXXX")


SUBJECT = Subject("bars", "A", "1d", "acme")
QUOTES_OF_A = Subject("quotes", "A", None, "acme")


def date(text: str) -> int:
    """Return midnight of a date in UTC, under which a daily bar is stored."""
    return to_ns(f"{text}T00:00:00Z")


@pytest.mark.parametrize(("subject", "at"), [(QUOTES_OF_A, day), (SUBJECT, date)], ids=["quotes", "days"])
def test_a_missing_tuesday(subject: Subject, at: Callable[[str], int]) -> None:
    """Of a week with a holiday only the day that was not fetched is a gap: in New York for quotes, by its date for daily bars."""
    covered = [(at("2024-05-24"), at("2024-05-28")), (at("2024-05-29"), at("2024-06-01"))]
    found = find_gaps(subject, covered, at("2024-05-24"), at("2024-06-03"), calendar="XNYS", settled=at("2024-06-03"))
    assert [Gap(subject, at("2024-05-28"), at("2024-05-29"))] == found


@pytest.mark.parametrize(("subject", "at"), [(QUOTES_OF_A, day), (SUBJECT, date)], ids=["quotes", "days"])
def test_gaps_over_weekends_are_one(subject: Subject, at: Callable[[str], int]) -> None:
    """What the exchange's calendar alone divides is one gap, and so one request."""
    found = find_gaps(subject, [], at("2024-05-20"), at("2024-06-03"), calendar="XNYS", settled=at("2024-06-03"))
    assert [Gap(subject, at("2024-05-20"), at("2024-06-01"))] == found


def test_weeks_have_no_calendar() -> None:
    """A week is expected under its first day, be that a holiday."""
    weeks = Subject("bars", "A", "1w", "acme")
    start, end = date("2024-05-27"), date("2024-05-28")
    assert [Gap(weeks, start, end)] == find_gaps(weeks, [], start, end, calendar="XNYS", settled=end)


@pytest.mark.parametrize(
    ("interval", "seconds"), [(None, 0), ("1s", 1), ("5m", 300), ("1d", 86_400), ("1w", 604_800), ("2mo", 62 * 86_400)]
)
def test_a_bar_is_final_after_its_end(interval: str | None, seconds: int) -> None:
    """A bar that has not ended is not final, however old its beginning is."""
    assert T0 - (900 + seconds) * SECOND == settled_until(Subject("bars", "A", interval, "acme"), T0, 900.0)


def test_the_newest_is_no_gap() -> None:
    """What is too young to be final is no gap."""
    found = find_gaps(SUBJECT, [], T0, T0 + DAY, calendar=None, settled=T0 + SECOND)
    assert [(T0, T0 + SECOND)] == [(gap.start_ns, gap.end_ns) for gap in found]
    assert [] == find_gaps(SUBJECT, [], T0, T0 + DAY, calendar=None, settled=T0 - DAY)


def test_outside_the_calendar() -> None:
    """Before the years of a calendar data are expected at any time."""
    start, end = to_ns("1985-01-01T00:00:00Z"), to_ns("1985-02-01T00:00:00Z")
    assert (
        [(start, end)] == expected_times(SUBJECT, "XNYS", start, end) == expected_times(QUOTES_OF_A, "XNYS", start, end)
    )


@given(some_ranges, some_ranges, small, small)
def test_gaps_are_what_is_missing(fetched: list[Any], entered: list[Any], start: int, end: int) -> None:
    """Gaps and what is covered make up a range; no instant is in both."""
    entries = [CoverageEntry("bars", "A", "1d", "acme", *one, 0, 1) for one in (*fetched, *entered) if one[0] < one[1]]
    covered = merge_coverage(entries).get(SUBJECT, [])
    gaps = find_gaps(SUBJECT, covered, start, end, calendar=None, settled=10**6)
    missing = instants((gap.start_ns, gap.end_ns) for gap in gaps)
    assert set(range(start, end)) - instants(covered) == missing


def test_plan() -> None:
    """A plan sums requests and rows, and says how long the limit of requests makes it take."""
    source = Scripted([])
    gaps = [Gap(SUBJECT, T0 + number * DAY, T0 + number * DAY + SECOND) for number in range(25)]
    plan = plan_fetches(source, gaps)
    assert (50, 250, 240.0) == (plan.requests, plan.rows, plan.seconds)
    assert [BARS] * 25 == [one.request.kind for one in plan.fetches]
    assert (0, 0, 0.0) == ((empty := plan_fetches(source, [])).requests, empty.rows, empty.seconds)


# History


def page(times: Sequence[int], until: int, rejects: int = 0, first: int = 1) -> Page:
    """Return a page of quotes at times."""
    quotes = [Quote("A", Instant(at), 1, number) for number, at in enumerate(times, first)]
    if not quotes and not rejects:
        return Page(None, until)
    bad = [Reject(number, "x", "it is not a row") for number in range(rejects)]
    return Page(Chunk(QUOTES, to_table(QUOTES, quotes), range(first, first + len(quotes)), bad), until)


@given(
    st.lists(st.integers(0, 6), max_size=24).map(sorted),
    st.lists(st.integers(0, 24), max_size=5).map(sorted),
    st.integers(1, 8),
    st.booleans(),
)
def test_parts_end_between_instants(times: list[int], cuts: list[int], size: int, whole: bool) -> None:
    """However pages cut a history, its parts follow each other, hold each row once, and no two have rows of the same instant."""
    edges = [0, *[min(cut, len(times)) for cut in cuts], len(times)]
    pages = []
    for start, end in itertools.pairwise(edges):
        last = end == len(times) and whole and start == edges[-2]
        pages.append(page(times[start:end], 7 if last else times[end - 1] if end else 0, first=start + 1))
    if whole:
        pages.append(Page(None, 7))
    found = list(parts(pages, 0, size))
    rows = [[quote for chunk in part.chunks for quote in from_table(QUOTES, chunk.table)] for part in found]
    at = 0
    for part, held in zip(found, rows, strict=True):
        assert part.start == at
        at = part.until
        assert all(part.start <= quote.ts_ns < part.until for quote in held)
        numbers = [number for chunk in part.chunks for number in chunk.rows]
        assert numbers == [int(quote.ask) for quote in held]
    claimed = [number for number, time in enumerate(times, 1) if time < at]
    assert claimed == [int(quote.ask) for held in rows for quote in held]
    if whole:
        assert at == 7 or (not times and at == 7)
        assert len(times) == sum(map(len, rows))


def test_rejected_rows_are_in_a_part() -> None:
    """Rows that could not be read are part of what is stored, even alone."""
    (part,) = parts([page([], 7, rejects=2)], 0, 10)
    assert [2] == [len(chunk.rejects) for chunk in part.chunks]


def test_a_failure_comes_after_the_part() -> None:
    """When a source fails, the complete part is yielded first, with the error; without one, the error is raised."""

    def failing(pages: Sequence[Page]) -> Iterator[Page]:
        yield from pages
        raise SourceError("gone")

    (part,) = parts(failing([page([1, 2], 2)]), 0, 10)
    assert (2, 1, "gone") == (part.until, part.rows, str(part.error))
    with pytest.raises(SourceError, match="gone"):
        list(parts(failing([]), 0, 10))


# The limiter


@given(st.lists(st.floats(0, 3), max_size=40), st.integers(1, 5))
def test_the_limit_holds(pauses: list[float], requests: int) -> None:
    """In no window of the limit do more requests begin than it allows, whatever the pauses between them."""
    now = [0.0]
    limiter = RateLimiter(RateLimit(requests, 10.0), lambda: now[0])
    begun: list[float] = []
    for pause in pauses:
        now[0] += pause
        while (delay := limiter.delay()) > 0:
            now[0] += delay
        begun.append(now[0])
    for start in begun:
        assert sum(start <= other < start + 10.0 - 1e-6 for other in begun) <= requests


def test_the_limiter_waits_when_asked_to() -> None:
    """After a pause that the source asked for nothing begins before its end; a stop ends the wait."""
    now = [0.0]
    limiter = RateLimiter(None, lambda: now[0])
    assert 0 == limiter.delay()
    limiter.pause(5)
    assert 5 == limiter.delay()
    now[0] = 5.0
    assert 0 == limiter.delay()
    limiter.pause(1_000)
    stop = threading.Event()
    stop.set()
    assert not limiter.wait(stop)


# The queue


def quote(number: int, symbol: str = "A") -> Quote:
    return Quote(symbol, Instant(number), 1, 2)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 8))
def test_dropping_the_oldest(script: list[int], size: int) -> None:
    """A full queue drops its oldest records, counts them with their times, and keeps events and the order."""
    queue = EventQueue(size, Policy.DROP)
    put: list[Any] = []
    for number, what in enumerate(script):
        item = f"event {number}" if what == 0 else quote(number, "AB"[what % 2])
        put.append(item)
        queue.put_event(item) if what == 0 else queue.put(item)
    items, dropped = queue.take(0)
    kept = [item for _, item in items]
    records = [item for item in put if isinstance(item, Quote)]
    assert records[-size:] == [item for item in kept if isinstance(item, Quote)]
    assert [item for item in put if isinstance(item, str)] == [item for item in kept if isinstance(item, str)]
    gone = records[: max(0, len(records) - size)]
    for symbol in "AB":
        times = [record.ts_ns for record in gone if record.symbol == symbol]
        found = dropped.get(("quotes", symbol))
        assert (
            (len(times), min(times), max(times)) == (found.count, found.first_ns, found.last_ns) if found else not times
        )
    assert ([], {}) == queue.take(0)


def test_waiting_for_room() -> None:
    """A full queue that waits takes the record once there is room; closing it lets nobody wait."""
    queue = EventQueue(1, Policy.BLOCK)
    queue.put(quote(1))
    thread = threading.Thread(target=lambda: [queue.put(quote(2)), queue.put(quote(3))])
    thread.start()
    assert [quote(1)] == [item for _, item in queue.take(5)[0]]
    wait_until(lambda: len(queue) == 1)
    queue.close()
    thread.join(5)
    assert not thread.is_alive()
    assert [quote(2)] == [item for _, item in queue.take(0)[0]]


# A collector over a source of one's own


@define
class Scripted:
    """A source that delivers what a test says, and whose history is a list of quotes and trades."""

    past: list[Any] = field(factory=list)
    refusal: Exception | None = None
    origin: str = "acme"
    settles: float = 0.0
    calendar: str | None = None
    limit: RateLimit | None = field(factory=lambda: RateLimit(10, 60.0))
    capabilities: frozenset[Capability] = frozenset({Capability.HISTORY, Capability.LIVE})
    sink: Any = None
    ready: threading.Event = field(factory=threading.Event)
    asked: list[HistoryRequest] = field(factory=list)
    wanted: list[str] = field(factory=list)
    failures: int = 0

    def estimate(self, _: HistoryRequest) -> Estimate:
        return Estimate(2, 10)

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        self.asked.append(request)
        if self.failures:
            self.failures -= 1
            raise SourceError("busy", transient=True)
        rows = [
            one
            for one in self.past
            if isinstance(one, request.kind.record)
            and one.symbol == request.symbol
            and request.start <= one.ts_ns < request.end
        ]
        chunk = Chunk(request.kind, to_table(request.kind, rows), range(1, len(rows) + 1)) if rows else None
        yield Page(chunk, request.end)

    def live(self, request: LiveRequest, sink: LiveSink) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sink = sink
        self.wanted = list(request.symbols)
        self.ready.set()
        request.stop.wait()
        sink.disconnected("stopped")

    def read(self, _: Any) -> Iterator[Any]:
        return iter(())


@pytest.fixture
def scripted() -> Scripted:
    """Return the source."""
    return Scripted()


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.ns = T0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the layer."""
    return Clock()


@pytest.fixture
def data(scripted: Scripted, clock: Clock) -> Iterator[DataLayer]:
    """Open a layer in memory that has the source."""
    from attrs import frozen

    from fpa_core import hookimpl

    @frozen
    class Options:
        """None."""

    class Plugin:
        @hookimpl
        def fpa_register_sources(self, register: Any) -> None:
            register("acme", lambda _: scripted, Options)

    manager = PluginManager(extra=[("acme", Plugin())])
    with open_layer(":memory:", plugins=manager, clock=clock) as layer:
        yield layer


def collect(data: DataLayer, **options: Any) -> Running:
    stop = threading.Event()
    given_options = CollectorOptions(**({"refill_after": 0.0, "checkpoint": 0.0, "max_delay": 0.001} | options))
    return Running(data.sources.collect("acme", ["quotes"], ["A"], options=given_options, stop=stop), stop)


def test_dropped_records_are_fetched(data: DataLayer, scripted: Scripted, clock: Clock) -> None:
    """What a full queue dropped is a gap: it is counted, fetched, and not claimed before."""
    scripted.past = [Quote("A", Instant(T0 + number * SECOND), 1, 2, number) for number in range(200)]
    with collect(data, queue=5, policy=Policy.DROP) as running:
        scripted.ready.wait(10)
        clock.ns = T0 - 10 * SECOND
        scripted.sink.connected()
        clock.ns = T0 + 300 * SECOND
        with running.collector._store.batch():  # the store is busy
            for one in scripted.past:
                scripted.sink.put(one)
        wait_until(lambda: running.collector.status().waiting == 0, "the queue")
        running.refilled()
    report = running.finished()
    assert report.dropped > 0
    assert 200 == data.select(Quote).count()
    assert report.dropped == sum(one.inserted for one in report.refills)


def test_a_clock_that_is_behind(data: DataLayer, scripted: Scripted) -> None:
    """The first record of a connection tells when it began, if our clock is behind: what was missed before it is fetched."""
    scripted.past = [Quote("A", Instant(T0 + number * SECOND), 1, 2) for number in range(9)]
    with collect(data, refill_after=0.2) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        scripted.sink.put(scripted.past[0])
        scripted.sink.disconnected("cut")
        scripted.sink.connected()  # at second 8, but the clock stands
        scripted.sink.put(scripted.past[8])
        wait_until(lambda: running.collector.status().refilled == 1, "the refill")
    assert 9 == data.select(Quote).count()


def test_a_run_that_stored_nothing(data: DataLayer, scripted: Scripted, clock: Clock) -> None:
    """Where a run began is known before the source is asked, and claims nothing: what it missed without storing a row, the next one fetches."""
    scripted.past = [Quote("A", Instant(T0 + number * SECOND), 1, 2) for number in range(9)]
    with collect(data) as running:
        scripted.ready.wait(10)
        begin = T0 - SECOND  # clocks differ: by the overlap
        assert [(begin, begin, 0)] == [(one.start_ns, one.end_ns, one.rows) for one in data.store.coverage()]
    assert not any(merge_coverage(data.store.coverage()).values())
    scripted.ready.clear()
    clock.ns = T0 + 20 * SECOND
    with collect(data) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        wait_until(lambda: running.collector.status().refilled == 1, "the refill")
    assert begin == scripted.asked[0].start
    assert 9 == data.select(Quote).count()


def test_a_time_in_the_future(data: DataLayer, scripted: Scripted, clock: Clock) -> None:
    """A record with a time in the future does not make the ledger claim what has not happened."""
    with collect(data) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        scripted.sink.put(Quote("A", Instant(T0 + SECOND), 1, 2))
        scripted.sink.put(Quote("A", Instant(T0 + 900 * DAY), 1, 2))
        scripted.sink.put(Quote("A", Instant(T0 + 5 * SECOND), 1, 2))
        wait_until(lambda: any(one.rows for one in data.store.coverage()), "the entry")
    assert T0 + 4 * SECOND == max(one.end_ns for one in data.store.coverage())
    assert clock() == T0
    running.finished()


def test_refills_are_tried_again(data: DataLayer, scripted: Scripted, clock: Clock) -> None:
    """A gap that cannot be fetched at once stays, and is fetched later."""
    scripted.failures = 1
    scripted.past = [Quote("A", Instant(T0 + number * SECOND), 1, 2) for number in range(4)]
    with collect(data) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        scripted.sink.put(scripted.past[0])
        scripted.sink.disconnected("cut")
        clock.ns = T0 + 5 * SECOND
        scripted.sink.connected()
        wait_until(lambda: running.collector.status().refilled == 1, "the refill")
    assert 2 == len(scripted.asked)
    assert 4 == data.select(Quote).count()


def test_what_is_too_young_is_fetched_again(data: DataLayer, scripted: Scripted, clock: Clock) -> None:
    """A gap that was fetched before it was final is not in the ledger, and is fetched once more when it is."""
    scripted.settles = 900.0
    with collect(data) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        scripted.sink.disconnected("cut")
        clock.ns = T0 + 5 * SECOND
        scripted.sink.connected()
        wait_until(lambda: running.collector.status().refilled == 1, "the refill")
    (left,) = running.finished().open_gaps
    assert T0 + 6 * SECOND == left.end
    assert not any(one.start_ns < left.end and left.start < one.end_ns for one in data.store.coverage())


def test_a_refusal_is_raised(data: DataLayer, scripted: Scripted) -> None:
    """An error of the source ends the run, and is raised where the run was begun."""
    scripted.refusal = SourceError("acme: no")
    with collect(data) as running:
        running.ended()
    with pytest.raises(SourceError, match="acme: no"):
        running.finished()


def test_corrections_of_another_source(data: DataLayer, scripted: Scripted) -> None:
    """A correction finds the trade by its id and exchange within a day."""
    trade = Trade("A", Instant(T0), "1.5", 3, None, "X", "7")
    stop = threading.Event()
    collector = data.sources.collect(
        "acme", ["trades"], ["A"], options=CollectorOptions(refill_after=0.0, max_delay=0.001), stop=stop
    )
    with Running(collector, stop) as running:
        scripted.ready.wait(10)
        scripted.sink.connected()
        scripted.sink.put(trade)
        scripted.sink.correct(Correction("A", "Y", "7", T0 + SECOND, None))
        scripted.sink.correct(Correction("A", "X", "7", T0 + 2 * DAY, None))
        scripted.sink.correct(Correction("A", "X", "7", T0 + SECOND, {"price": "1.25"}))
        wait_until(lambda: collector.status().corrections == 1, "the correction")
    assert 2 == running.finished().unmatched
    assert ["1.25"] == [str(one.price) for one in data.select(Trade)]


def test_what_a_source_cannot_do(data: DataLayer, scripted: Scripted) -> None:
    """A source without a capability is refused with what it lacks; so are intervals of quotes, and ranges that end before they begin."""
    scripted.capabilities = frozenset()
    with pytest.raises(DataError, match="'acme' has no history"):
        data.sources.history("acme", Bar, "A", start="2024-05-01")
    with pytest.raises(DataError, match="'acme' has no account"):
        data.sources.sync("acme")
    scripted.capabilities = frozenset({Capability.HISTORY})
    with pytest.raises(DataError, match="'acme' has no live data"):
        data.sources.collect("acme", ["quotes"], ["A"])
    with pytest.raises(DataError, match="quotes have none"):
        data.sources.history("acme", Quote, "A", start="2024-05-01", interval="1m")
    with pytest.raises(DataError, match="later than the end"):
        data.sources.history("acme", Quote, "A", start="2024-05-02", end="2024-05-01")
    with pytest.raises(DataError, match="symbols"):
        data.sources.history("acme", Quote, [], start="2024-04-01")
    for wrong in ({}, {"start": "2024-04-01", "refech": True}):
        with pytest.raises(TypeError):
            data.sources.history("acme", Quote, "A", **wrong)


def test_one_symbol_is_one_symbol(data: DataLayer, scripted: Scripted) -> None:
    """A name that is given by itself is that symbol, and not a symbol for each of its letters."""
    stop = threading.Event()
    with Running(data.sources.collect("acme", ["quotes"], "AAPL", stop=stop), stop):
        wait_until(scripted.ready.is_set, "the connection")
    assert ["AAPL"] == scripted.wanted


def test_get_and_its_ledger(data: DataLayer, scripted: Scripted) -> None:
    """`get` asks for each range once, per kind and interval."""
    scripted.past = [Quote("A", Instant(T0 - 5 * SECOND), 1, 2)]
    for _ in range(2):
        assert 1 == data.get(Quote, "A", Instant(T0 - 10 * SECOND), Instant(T0), via="acme").count()
    assert 0 == data.get(Bar, "A", Instant(T0 - 10 * SECOND), Instant(T0), via="acme", interval="60m").count()
    assert [(QUOTES, None), (BARS, "1h")] == [(one.kind, one.interval) for one in scripted.asked]
    assert TRADES not in {one.kind for one in scripted.asked}


def test_status_in_a_line() -> None:
    """The status of a collector is one line; what is nothing to tell is left out."""
    status = CollectorStatus(True, 1_204_311, 4_998.2, 0.036, 0.0762, 3, 2, 0, 0, 0, 0, 1)
    assert "connected  1,204,311 rows  4,998/s  lag p50 36 ms, p99 76 ms  2 quarantined" == status_text(status)
    status = CollectorStatus(False, 0, 0.0, None, None, 0, 0, 7, 0, 1, 2, 3)
    assert "not connected  0 rows  0/s  0 quarantined  7 dropped  gaps: 1 open, 2 refilled" == status_text(status)


def test_status_of_orders_in_a_line() -> None:
    """So is the status of orders that are followed."""
    assert "connected  12 updates  3 syncs  1 quarantined" == orders_text(FollowStatus(True, 12, 1, 3, 0, 1))
    assert "not connected  0 updates  0 syncs  0 quarantined  fills of 2 orders awaited" == orders_text(
        FollowStatus(False, 0, 0, 0, 2, 0)
    )


def test_gaps_of_corporate_actions() -> None:
    """Corporate actions are expected on any day, and those of a date are final a day after it began."""
    subject = Subject("corporate_actions", "AAPL", None, "acme")
    assert [(T0, T0 + 7 * DAY)] == expected_times(subject, "XNYS", T0, T0 + 7 * DAY)
    assert T0 - DAY - 10 * SECOND == settled_until(subject, T0, 10.0)

"""The live stream: tickets, groups, back pressure, errors, event loops, validation, and the contracts of the store across groups."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import strategies as own
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import fpa_core
from fpa_core.exceptions import DatabaseBusyError, DatabaseError, DataError
from fpa_core.kinds import QUOTES, kind_of
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Finding, Severity, StoreBackend
from fpa_core.retrying import BUSY_TRIES
from fpa_core.store import DataStore
from fpa_core.store.streams.acks import WriteOutcome
from fpa_core.store.streams.stream import Stream
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

NEVER = "10h"
AT_MOST = 30.0
"""Seconds after which a test that waits has failed."""

POSITION = Position("A", 100, 120, 110, 10, timestamp=Instant(1))
RECORDS = (
    Quote("A", Instant(1), "1.10", "1.20", 100, 200),
    Trade("A", Instant(1), "1.15", 50, "@", "N", "7"),
    Bar("A", Instant(1), 1, 2, "0.5", "1.5", 1000, "1m"),
    Order("o-1", "A", 100, "buy", "limit", limit_price="1.20", timestamp=Instant(1), updated_at=Instant(1)),
    POSITION,
    PortfolioSnapshot(Instant(1), 1120, cash=1000, positions=[Position("A", 100, 120, 110)]),
)


def quote(ts: int, bid: Any = 1, symbol: str = "A") -> Quote:
    return Quote(symbol, Instant(ts), bid, 2)


def bar(symbol: str = "A", low: int = 1) -> Bar:
    return Bar(symbol, Instant(1), 1, 2, low, 1, 10, "1m")


def held(symbol: str, **changes: Any) -> Position:
    return evolve(POSITION, symbol=symbol, **changes)


class Disk:
    """Stands between a stream and its database, to hold commits up or let them fail."""

    def __init__(self, backend: StoreBackend) -> None:
        self.begin = backend.stream
        self.go = threading.Event()
        self.go.set()
        self.reached = threading.Event()
        self.failures: list[Exception] = []
        self.groups = 0

    def stream(self, *, origin: str) -> Disk:
        self.inner = self.begin(origin=origin)
        self.batch_id = self.inner.batch_id
        return self

    @contextlib.contextmanager
    def group(self) -> Iterator[Any]:
        self.groups += 1
        with self.inner.group() as transaction:
            yield transaction
            self.reached.set()
            assert self.go.wait(AT_MOST)
            if self.failures:
                raise self.failures.pop(0)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def disk(backend: StoreBackend, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Put a disk one can command under the store."""
    disk = Disk(backend)
    monkeypatch.setattr(backend, "stream", disk.stream)
    return disk


# Tickets and groups


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_kind_of_record(store: DataStore, record: Any) -> None:
    """A record of any kind is in the store once its ticket says so, and delivered again it adds nothing."""
    with store.stream(origin="live", max_delay=0) as first, store.stream(max_delay=0) as second:
        assert WriteOutcome.STORED == first.write(record).result(AT_MOST)
        assert [record] == store.select(type(record)).to_list()
        assert WriteOutcome.STORED == second.write(record).result(AT_MOST)
    rows = 1 + len(getattr(record, "positions", ()))
    assert (rows, 0, "live") == (first.receipt.inserted, first.receipt.duplicate, first.receipt.origin)
    assert (0, rows) == (second.receipt.inserted, second.receipt.duplicate)
    assert [record] == store.select(type(record)).to_list()


def test_what_comes_without_a_time(store: DataStore) -> None:
    """Orders and positions that bring no time get the present one, and an order's update without times is a later version."""
    with store.stream(max_delay=0) as stream:
        for status in ("new", "filled"):
            stream.write(Order("o-1", "A", 100, "buy", "limit", status)).wait(AT_MOST)
        stream.write(held("A", timestamp=None))
    assert ["filled"] == [order.status for order in store.get_orders()]
    assert None not in {position.ts_ns for position in store.get_positions()}
    assert (2, 1) == (stream.receipt.inserted, stream.receipt.revised)


def test_position_that_was_sold(store: DataStore) -> None:
    """A later version of a snapshot takes away the position it no longer has."""
    before = PortfolioSnapshot(Instant(1), 10, positions=[held("A"), held("B")])
    after = PortfolioSnapshot(Instant(1), 9, positions=[held("A")])
    with store.stream(max_delay=0) as stream:
        stream.write(before).wait(AT_MOST)
        stream.write(after)
    assert [after] == store.get_portfolio_snapshots()


def test_full_group_is_committed(store: DataStore) -> None:
    """A group is committed when it has so many records, however long it might still wait."""
    with store.stream(max_rows=3, max_delay=NEVER) as stream:
        tickets = [stream.write(quote(ts)) for ts in (1, 2)]
        assert [False, False] == [ticket.done() for ticket in tickets]
        assert not tickets[0].wait(0)
        stream.write(quote(3))
        assert tickets[0].wait(AT_MOST)
        assert 3 == store.select(Quote).count()


def test_group_is_committed_in_time(store: DataStore) -> None:
    """A group is committed when its first record has waited for the delay, and no earlier."""
    now = 100.0
    options: dict[str, Any] = {"origin": "live", "max_rows": 100, "max_waiting": 100, "record_filter": None}
    with Stream(store.writer, max_delay=5.0, monotonic=lambda: now, **options) as stream:
        ticket = stream.write(quote(1))
        for now in (104.0, 104.9):  # noqa: B007  # the stream reads it
            with stream._work:
                stream._work.notify()
            stream.write(quote(2))
            assert not ticket.done()
        now = 105.0
        with stream._work:
            stream._work.notify()
        assert ticket.wait(AT_MOST)


def test_flush_waits_for_no_more(store: DataStore) -> None:
    """A flush makes durable what was written so far; where nothing was, there is nothing to wait for."""
    with store.stream(max_delay=NEVER) as stream:
        assert stream.flush()
        ticket = stream.write(quote(1))
        assert stream.flush(AT_MOST)
        assert ticket.done()
        assert stream.flush()


def test_slow_disk_makes_larger_groups(store: DataStore, disk: Disk) -> None:
    """What arrives during a commit goes with the next one, all at once."""
    disk.go.clear()
    with store.stream(max_rows=2, max_delay=0) as stream:
        stream.write(quote(0))
        assert disk.reached.wait(AT_MOST)
        for ts in range(1, 100):
            stream.write(quote(ts))
        disk.go.set()
    assert (2, 100) == (disk.groups, store.select(Quote).count())


def test_ticket_tells_its_state(store: DataStore) -> None:
    """A ticket shows whether it waits, and a wait for it has an end."""
    with store.stream(max_delay=NEVER) as stream:
        ticket = stream.write(quote(1))
        assert "<WriteFuture waiting>" == repr(ticket)
        with pytest.raises(TimeoutError, match="within 0 s"):
            ticket.result(0)
    assert ("<WriteFuture stored>", None, ()) == (repr(ticket), ticket.exception(), ticket.findings())


def test_one_batch_and_its_counts(store: DataStore) -> None:
    """All groups of a stream are one batch, whose counts are as durable as its rows."""
    with store.stream(origin="alpaca:sip", max_delay=0) as stream:
        for ts in (1, 2, 2):
            stream.write(quote(ts)).wait(AT_MOST)
            (batch,) = store.batches()
            assert (stream.batch, store.select(Quote).count()) == (batch.id, batch.inserted)
    assert ("alpaca:sip", 3, 3) == (batch.origin, batch.read, batch.inserted)
    assert (3, 3, stream.batch, "quotes") == (
        stream.receipt.read,
        stream.receipt.inserted,
        stream.receipt.batch,
        stream.receipt.kind,
    )


def test_listeners_hear_before_tickets(store: DataStore) -> None:
    """Whoever forgets older answers has done so before a write is acknowledged; a group that adds nothing is no change."""
    heard: list[Any] = []
    with store.stream(max_rows=1, max_delay=NEVER) as stream:
        tickets: list[Any] = []
        store.on_change(lambda changed: heard.append((changed, store.select(Quote).count(), tickets[-1:])))
        stream._work.acquire()  # so that the ticket is there before the group is taken
        try:
            tickets.append(stream._take(quote(1)))
        finally:
            stream._work.release()
        tickets[0].wait(AT_MOST)
        stream.write(bar()).wait(AT_MOST)
        stream.write(bar()).wait(AT_MOST)
    assert [{QUOTES: {"A"}}, {kind_of(Bar): {"A"}}] == [changed for changed, *_ in heard]
    assert 1 == heard[0][1]


def test_no_older_answer_after_an_acknowledged_write(tmp_path: Path) -> None:
    """A cached read after an acknowledged write has what was written."""
    (tmp_path / "fpa.toml").write_text('[store]\n[cache]\nbackend = "memory"\n')
    with fpa_core.open(tmp_path / "fpa.toml") as data, data.stream(max_delay=0) as stream:
        for ts in range(1, 6):
            stream.write(quote(ts)).result(AT_MOST)
            assert quote(ts) == data.store.latest("A")


# Across groups and streams


def test_many_threads(store: DataStore) -> None:
    """Eight threads write to one stream: nothing is lost, each thread's order is kept."""

    def write(number: int) -> None:
        for bid in range(200):
            tickets[number] = stream.write(quote(7, bid, f"S{number}"), timeout=AT_MOST)

    tickets: dict[int, Any] = {}
    with store.stream(max_rows=16, max_delay=0, max_waiting=32) as stream:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(AT_MOST)
        assert {WriteOutcome.STORED} == {ticket.result(AT_MOST) for ticket in tickets.values()}
    for number in range(8):
        assert list(range(200)) == [row.bid for row in store.get_quotes(f"S{number}")]


# Back pressure


def test_back_pressure(store: DataStore, disk: Disk) -> None:
    """When too many records wait for the disk a write waits, says so when its time is up, and goes on once there is room."""
    disk.go.clear()
    with store.stream(origin="live", max_rows=2, max_delay=NEVER, max_waiting=4) as stream:
        for ts in range(4):
            stream.write(quote(ts))
        with pytest.raises(DatabaseBusyError, match=r"stream of live had no room .* 4 are waiting"):
            stream.write(quote(9), timeout=0.01)
        waiting = threading.Thread(target=stream.write, args=(quote(5),))
        waiting.start()
        disk.go.set()
        waiting.join(AT_MOST)
        assert not waiting.is_alive()
    assert [0, 1, 2, 3, 5] == [row.ts_ns for row in store.get_quotes()]


def test_writer_that_waits_hears_of_the_end(store: DataStore, disk: Disk) -> None:
    """A write that waits for room is told when the stream fails meanwhile."""
    disk.go.clear()
    disk.failures = [DatabaseError("no space left")]
    heard: list[BaseException] = []

    def write() -> None:
        try:
            stream.write(quote(2))
        except DatabaseError as error:
            heard.append(error)

    stream = store.stream(max_rows=1, max_waiting=1)
    stream.write(quote(1))
    assert disk.reached.wait(AT_MOST)
    thread = threading.Thread(target=write)
    thread.start()
    disk.go.set()
    thread.join(AT_MOST)
    assert ["no space left"] == [str(error.__cause__) for error in heard]
    with pytest.raises(DatabaseError, match="has stopped: no space left"):
        stream.close()


# Errors


def test_busy_database_is_tried_again(store: DataStore, disk: Disk) -> None:
    """A group that met a busy database is written again, and counted once."""
    disk.failures = [DatabaseBusyError("busy")] * (BUSY_TRIES - 1)
    with store.stream(max_rows=3, max_delay=NEVER) as stream:
        tickets = [stream.write(row) for row in (quote(1), quote(1), quote(2))]
        assert [WriteOutcome.STORED] * 3 == [ticket.result(AT_MOST) for ticket in tickets]
    assert (BUSY_TRIES, 3, 3) == (disk.groups, stream.receipt.inserted, store.select(Quote).count())


@pytest.mark.parametrize(
    ("error", "tries"),
    [(DatabaseBusyError("busy"), BUSY_TRIES), (DatabaseError("no space left"), 1), (ValueError("odd"), 1)],
)
def test_what_cannot_be_stored_fails(store: DataStore, disk: Disk, error: Exception, tries: int) -> None:
    """The tickets of a group that cannot be stored carry its error, later writes and the end of the stream say so; what was before stays."""
    with pytest.raises(DatabaseError, match=f"has stopped: {error}") as raised, store.stream(max_delay=0) as stream:  # noqa: PT012
        stream.write(quote(1)).result(AT_MOST)
        disk.groups, disk.failures = 0, [error] * BUSY_TRIES
        ticket = stream.write(quote(2))
        assert error is ticket.exception(AT_MOST)
        assert "<WriteFuture failed>" == repr(ticket)
        for call in (ticket.result, ticket.findings):
            with pytest.raises(type(error)):
                call()
        for again in (lambda: stream.write(quote(3)), stream.flush):
            with pytest.raises(DatabaseError, match="write again what was not acknowledged"):
                again()
    assert error is raised.value.__cause__
    assert tries == disk.groups
    assert [quote(1)] == store.get_quotes()
    assert (1, 1) == (stream.receipt.inserted, store.batches()[0].inserted)
    stream.close()


def test_flush_raises_what_went_wrong(store: DataStore, disk: Disk) -> None:
    """A flush of a group that cannot be stored raises the error."""
    disk.failures = [DatabaseError("no space left")]
    stream = store.stream(max_delay=NEVER)
    stream.write(quote(1))
    with pytest.raises(DatabaseError, match="no space left"):
        stream.flush(AT_MOST)
    with pytest.raises(DatabaseError, match="has stopped"):
        stream.close()


def test_error_of_the_block_is_not_hidden(store: DataStore, disk: Disk) -> None:
    """An error inside the block is raised as it is, though the stream failed as well."""
    disk.failures = [DatabaseError("no space left")]
    with pytest.raises(KeyError), store.stream(max_delay=NEVER) as stream:  # noqa: PT012
        stream.write(quote(1))
        raise KeyError


def test_rows_written_before_an_error_are_kept(store: DataStore) -> None:
    """An error of the program inside the block loses nothing that was written."""
    with pytest.raises(KeyError), store.stream(max_delay=NEVER) as stream:  # noqa: PT012
        stream.write(quote(1))
        raise KeyError
    assert [quote(1)] == store.get_quotes()


def test_batch_undone_meanwhile(store: DataStore) -> None:
    """A stream whose batch is undone while it goes on has come to its end, and its rows do not return."""
    stream = store.stream(max_delay=0)
    stream.write(quote(1)).result(AT_MOST)
    store.undo(stream.batch)
    with pytest.raises(DatabaseError, match="was undone while"):
        stream.write(quote(2)).result(AT_MOST)
    with pytest.raises(DatabaseError, match="has stopped"):
        stream.close()
    assert [] == store.get_quotes()


def test_what_is_refused_at_once(store: DataStore) -> None:
    """What is no record, a group of no records, a delay that is none, and a write after the end are refused."""
    with store.stream() as stream, pytest.raises(DataError, match="unknown kind of record"):
        stream.write("a quote")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unknown kind of record"):
        stream.try_write(3)  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match="stream of api is closed"):
        stream.write(quote(1))
    with pytest.raises(DataError, match="max_rows"):
        store.stream(max_rows=0)
    with pytest.raises(DataError, match="max_delay"):
        store.stream(max_delay="soon")


def test_stream_of_another_process(store: DataStore) -> None:
    """A stream that came along with a fork refuses to write, and leaves the parent's rows to the parent."""
    with store.stream(max_delay=NEVER) as stream:
        stream.write(quote(1))
        pid, stream._pid = stream._pid, 0
        for call in (lambda: stream.write(quote(2)), lambda: stream.try_write(quote(2)), stream.flush):
            with pytest.raises(DatabaseError, match="belongs to another process"):
                call()
        stream.close()
        stream._pid = pid
    assert [quote(1)] == store.get_quotes()


def test_closing_the_store_ends_its_streams(tmp_path: Path) -> None:
    """What was written to a stream left open is durable when the store is closed."""
    options = SqliteOptions(path=tmp_path / "test.db")
    with DataStore(open_store(options)) as store:
        ticket = store.stream(max_delay=NEVER).write(quote(1))
    assert WriteOutcome.STORED == ticket.result(0)
    with DataStore(open_store(options)) as store:
        assert [quote(1)] == store.get_quotes()


# Event loops


def test_async_stream(store: DataStore) -> None:
    """On an event loop a write is awaited for room, its ticket for durability, and the end for all."""

    async def main() -> Any:
        async with store.astream(origin="live", max_rows=2, max_delay=NEVER) as stream:
            tickets = [await stream.write(quote(ts)) for ts in (1, 2)]
            assert WriteOutcome.STORED == await tickets[0]
            tickets.append(await stream.write(quote(3)))
            assert not tickets[2].done()
            await stream.flush()
            assert [WriteOutcome.STORED] * 3 == [await ticket for ticket in tickets]
            await stream.write(quote(4))
        return stream.receipt

    assert ("live", 4) == ((receipt := asyncio.run(main())).origin, receipt.inserted)
    assert 4 == store.select(Quote).count()


def test_event_loop_is_not_blocked(store: DataStore, disk: Disk) -> None:
    """While a write waits for room, the loop goes on; it is the loop that makes room here."""
    disk.go.clear()

    async def main() -> None:
        async with store.astream(max_rows=1, max_delay=0, max_waiting=2) as stream:
            writes = [asyncio.create_task(stream.write(quote(ts))) for ts in range(6)]
            assert await asyncio.to_thread(disk.reached.wait, AT_MOST)
            assert 2 == sum(write.done() for write in writes)
            disk.go.set()
            await asyncio.gather(*[await write for write in writes])

    asyncio.run(asyncio.wait_for(main(), AT_MOST))
    assert [0, 1, 2, 3, 4, 5] == [row.ts_ns for row in store.get_quotes()]


def test_who_stops_waiting_stops_nobody_else(store: DataStore) -> None:
    """A task that is cancelled while it awaits a ticket leaves the others, and the record, alone."""

    async def main() -> WriteOutcome:
        async with store.astream(max_delay=NEVER) as stream:
            ticket = await stream.write(quote(1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.ensure_future(_await(ticket)), 0.01)
            other = asyncio.create_task(_await(ticket))
            await asyncio.sleep(0)
            await stream.flush()
            return await other

    async def _await(ticket: Any) -> WriteOutcome:
        return await ticket  # type: ignore[no-any-return]

    assert WriteOutcome.STORED == asyncio.run(main())


def test_loop_that_is_gone(store: DataStore) -> None:
    """A loop that was closed while a ticket of it waited does not disturb the stream."""
    with store.stream(max_delay=NEVER) as stream:
        ticket = stream.write(quote(1))
        loop = asyncio.new_event_loop()
        task = loop.create_task(_ending(ticket))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()
    assert WriteOutcome.STORED == ticket.result(AT_MOST)


async def _ending(ticket: Any) -> None:
    await ticket


def test_async_error(store: DataStore, disk: Disk) -> None:
    """An error reaches whoever awaits the ticket, and the end of the stream."""
    disk.failures = [DatabaseError("no space left")]

    async def main() -> None:
        async with store.astream(max_delay=0) as stream:
            with pytest.raises(DatabaseError, match="no space left"):
                await (await stream.write(quote(1)))

    with pytest.raises(DatabaseError, match="has stopped"):
        asyncio.run(main())


def test_async_stream_that_has_not_begun(store: DataStore) -> None:
    """A stream outside of its context is refused."""
    with pytest.raises(DatabaseError, match="async with"):
        store.astream().receipt  # noqa: B018


# Validation


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[fpa_core.DataLayer]:
    """Open a data layer over an empty database."""
    (tmp_path / "fpa.toml").write_text("[store]\n")
    with fpa_core.open(tmp_path / "fpa.toml") as data:
        yield data


def test_stream_is_validated(layer: fpa_core.DataLayer) -> None:
    """What breaks a rule is quarantined in the same batch, its ticket tells, and the receipt adds up."""
    good, bad = bar(), bar("B", low=3)
    with layer.stream(origin="live", max_delay=0) as stream:
        tickets = [stream.write(bar) for bar in (good, bad)]
        assert [WriteOutcome.STORED, WriteOutcome.QUARANTINED] == [ticket.result(AT_MOST) for ticket in tickets]
        assert {"bar.range"} <= {finding.rule for finding in tickets[1].findings()}
    assert [good] == layer.store.get_bars()
    (kept,) = layer.store.quarantined(batch=stream.batch)
    assert ("bars", "B", 1, 2) == (kept.kind, kept.subject, kept.ts_ns, kept.row)
    assert (2, 1, 1) == (stream.receipt.read, stream.receipt.inserted, stream.receipt.quarantined)
    assert (2, 1, 1) == ((batch := layer.store.batches()[0]).read, batch.inserted, batch.quarantined)


@own.costly(2)
@given(st.lists(own.records(), max_size=8))
def test_stream_judges_as_ingest_does(records: list[Any]) -> None:
    """Streams of one record each store and refuse what ingests of one record each do."""
    outcomes = []
    for live in (False, True):
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "fpa.toml"
            path.write_text('[store]\nsynchronous = "normal"\n')
            with fpa_core.open(path, clock=lambda: 1_700_000_000_000_000_000) as data:
                for record in records:
                    if live:
                        with data.stream(max_delay=0) as stream:
                            stream.write(record)
                    else:
                        data.ingest(record)
                stored = {name: data.select(name).to_list() for name in fpa_core.kinds.KINDS}
                outcomes.append((stored, Counter((one.kind, one.raw) for one in data.store.quarantined())))
    assert outcomes[0] == outcomes[1]


def test_position_of_a_snapshot_is_refused(layer: fpa_core.DataLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is stored without the position that breaks a rule, and its ticket tells."""
    check = layer.validator.check
    found = Finding("position.odd", Severity.ERROR, "it is odd", "positions")
    monkeypatch.setattr(
        layer.validator,
        "check",
        lambda one, memory: [found] if getattr(one, "symbol", "") == "B" else check(one, memory),
    )
    snapshot = PortfolioSnapshot(Instant(1), 240, positions=[held("A"), held("B")])
    with layer.stream(max_delay=0) as stream:
        ticket = stream.write(snapshot)
        assert WriteOutcome.QUARANTINED == ticket.result(AT_MOST)
    assert found in ticket.findings()
    assert [evolve(snapshot, positions=[snapshot.positions[0]])] == layer.store.get_portfolio_snapshots()
    assert (3, 2, 1) == (stream.receipt.read, stream.receipt.inserted, stream.receipt.quarantined)


def test_warnings_are_counted(layer: fpa_core.DataLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that a rule only warns of is stored, and the receipt counts the warning."""
    found = Finding("quote.odd", Severity.WARNING, "it is odd", "quotes")
    monkeypatch.setattr(layer.validator, "check", lambda *_: (found,))
    with layer.stream(max_delay=0) as stream:
        ticket = stream.write(quote(1))
        assert (WriteOutcome.STORED, (found,)) == (ticket.result(AT_MOST), ticket.findings())
    assert {"quote.odd": 1} == stream.receipt.warnings


def test_plugins_hear_of_a_stream(layer: fpa_core.DataLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins are notified of each group with its own receipt, then of what it quarantined, before the writes are acknowledged."""
    told: list[Any] = []
    monkeypatch.setattr(layer.plugins, "notify", lambda hook, **given: told.append((hook, given)))

    async def main() -> Any:
        async with layer.astream(max_delay=0) as stream:
            await (await stream.write(bar("B", low=3)))
            assert ["fpa_ingested", "fpa_quarantined"] == [hook for hook, _ in told]
            await (await stream.write(bar("A", low=1)))
        return stream.receipt

    total = asyncio.run(main())
    first, second = [given["receipt"] for hook, given in told if hook == "fpa_ingested"]
    children = [batch.id for batch in layer.store.batches(children=True) if batch.parent == total.batch]
    assert {first.batch, second.batch} == set(children)
    assert [(1, 0, 1, "bars"), (1, 1, 0, "bars")] == [
        (one.read, one.inserted, one.quarantined, one.kind or "bars") for one in (first, second)
    ]
    assert (2, 1, 1) == (total.read, total.inserted, total.quarantined)

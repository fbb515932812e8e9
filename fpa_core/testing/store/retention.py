"""C1 and C3 under retention: what is too old goes with its history, nothing else does, and nothing that is not in the archive."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st
from pyarrow import parquet

from fpa_core.arrow.conversion import from_table
from fpa_core.config import BarRetention, RetentionSection, TickRetention
from fpa_core.engine.audit_log import AuditTrail
from fpa_core.exceptions import DataError
from fpa_core.kinds import BARS, KINDS, QUOTES, TRADES
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.operations.retention import RetentionReport, retain
from fpa_core.protocols import Capability, CoverageEntry
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, contents, database_of, law
from fpa_core.testing.store.history import few_records

__all__ = ["RetentionTests"]

DAY_NS = 86_400 * 10**9

records = few_records.map(lambda record: evolve(record, timestamp=Instant(record.ts_ns * DAY_NS)))
"""Records of so few days that they share them."""


class RetentionTests(StoreTests):
    """Market data that are too old are archived and deleted for good. Stores without the engine are passed over."""

    @holds(Contract.C3, Capability.KNOWN_AT, Capability.UNDO)
    @law(
        st.lists(
            st.tuples(st.sampled_from(["save", "delete", "undo", "seal"]), st.lists(records, max_size=6)), max_size=4
        ),
        st.integers(0, 7),
        st.data(),
        cost=4,
    )
    def test_what_is_too_old_goes_as_if_it_had_never_been(
        self, fresh: Fresh, script: list[tuple[str, list[Any]]], day: int, data: st.DataObject
    ) -> None:
        """Reads return the rest, now and as known at any time; the store is sound; an undo does with the rest what it would have done."""
        with fresh() as store, fresh() as other, tempfile.TemporaryDirectory() as folder:
            for each in (store, other):
                _run(each, script)
            times = [batch.recorded_ns for batch in store.batches()]
            before = [_known(store, None), *(_known(store, at) for at in times)]
            done = _retain(store, day, Path(folder))
            assert [_kept(one, day) for one in before] == [_known(store, None), *(_known(store, at) for at in times)]
            assert _archived(done) == _gone(before[0], day)
            assert not check(database_of(store)).errors
            assert not _retain(store, day, Path(folder)).steps
            if standing := [batch.id for batch in other.batches() if batch.undone_by is None]:
                chosen = data.draw(st.sampled_from(standing))
                for each in (store, other):
                    each.undo(chosen)
                assert _kept(_known(other, None), day) == _known(store, None)
                assert not check(database_of(store)).errors

    @holds(Contract.C1)
    def test_on_hold(self, store: DataStore) -> None:
        """Nothing is deleted of a symbol on hold, whatever its age."""
        store.save([Quote(symbol, Instant(ts * DAY_NS), 1, 2) for symbol in ("A", "AB", "B") for ts in range(4)])
        with tempfile.TemporaryDirectory() as folder:
            done = _retain(store, 3, Path(folder), hold=("A*",))
        assert {"A": True, "AB": True, "B": False} == {one.subject: one.held for one in done.plan.expired}
        assert {"A": 4, "AB": 4, "B": 1} == {entry.subject: entry.rows for entry in store.inventory()}

    @holds(Contract.C3)
    def test_the_ledger_forgets_what_is_gone(self, store: DataStore) -> None:
        """What was deleted is no longer known as fetched, and the rest of the range is."""
        entry = CoverageEntry("quotes", "A", None, "test", 0, 4 * DAY_NS, 4)
        with store.batch(origin="test") as batch:
            batch.write_records(QUOTES, [Quote("A", Instant(ts * DAY_NS), 1, 2) for ts in range(4)])
            batch.cover([entry, evolve(entry, subject="B"), evolve(entry, kind="bars", interval="1d")])
        with tempfile.TemporaryDirectory() as folder:
            _retain(store, 3, Path(folder))
        own = [evolve(entry, batch=batch.id), evolve(entry, subject="B", batch=batch.id)]
        assert [evolve(own[0], start_ns=3 * DAY_NS), own[1]] == store.coverage("quotes")
        assert [evolve(entry, kind="bars", interval="1d", batch=batch.id)] == store.coverage("bars")

    @holds(Contract.C3, Capability.UNDO)
    def test_what_is_gone_for_good_is_not_undone(self, store: DataStore) -> None:
        """The batch that notes a retention cannot be undone: the error names the file that has the rows."""
        store.save([Quote("A", Instant(ts * DAY_NS), 1, 2) for ts in range(4)])
        with tempfile.TemporaryDirectory() as folder:
            (step,) = _retain(store, 3, Path(folder)).steps
        with pytest.raises(DataError, match="cannot be undone") as error:
            store.undo(step.batch)
        assert step.files[0].name in str(error.value.hint)


def _retain(store: DataStore, day: int, folder: Path, hold: tuple[str, ...] = ()) -> RetentionReport:
    """Delete quotes, trades and bars of before a day."""
    ticks, bars = TickRetention(keep=86_400.0), BarRetention(keep=86_400.0)
    section = RetentionSection(archive=folder, hold=hold, quotes=ticks, trades=ticks, bars=bars)
    return retain(
        database_of(store),
        section,
        (day + 1) * DAY_NS + 5,
        make_bars=lambda _query, _interval: 0,
        audit=AuditTrail(),
        tick=lambda _done, _all: None,
    )


def _run(store: DataStore, script: list[tuple[str, list[Any]]]) -> None:
    for action, rows in script:
        done = [batch.id for batch in store.batches() if batch.undone_by is None]
        if action == "undo" and done:
            store.undo(done[len(rows) % len(done)])
        elif action == "delete":
            store.delete(store.select(("quotes", "trades", "bars")[len(rows) % 3], "A"))
        else:
            store.save(rows)
            if action == "seal" and Capability.SEAL in store.backend.capabilities:
                store.seal()


def _known(store: DataStore, at: int | None) -> dict[str, list[Any]]:
    return contents(store) if at is None else {name: store.select(name, as_known_at=at).to_list() for name in KINDS}


def _is_old(record: Any, day: int) -> bool:
    return bool(record.ts_ns < day * DAY_NS)


def _kept(found: dict[str, list[Any]], day: int) -> dict[str, list[Any]]:
    return {name: [one for one in records if not _is_old(one, day)] for name, records in found.items()}


def _gone(found: dict[str, list[Any]], day: int) -> Counter[Any]:
    return Counter(one for kind in (QUOTES, TRADES, BARS) for one in found[kind.name] if _is_old(one, day))


def _archived(done: RetentionReport) -> Counter[Any]:
    """Return the records in the files of the archive, their history aside."""
    found: Counter[Any] = Counter()
    for step in done.steps:
        for path in step.files:
            if ".history." not in path.name:
                found.update(from_table(KINDS[step.kind], parquet.read_table(path)))
    return found

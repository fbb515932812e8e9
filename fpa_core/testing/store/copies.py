"""C5: a store is copied to another one exactly, and the copy goes on as the original would."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.engine.audit_log import AuditTrail
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS, QUOTES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.operations.comparison import Comparison, compare
from fpa_core.operations.copy import copy_store
from fpa_core.protocols import Capability, CoverageEntry, Quarantined
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, contents, database_of, law
from fpa_core.testing.store.history import few_records

__all__ = ["CopyTests"]


class CopyTests(StoreTests):
    """All that a store holds can be copied to another one, and compared with it. Stores without the engine are passed over."""

    @holds(Contract.C5, Capability.KNOWN_AT, Capability.UNDO)
    @law(st.lists(st.lists(few_records, max_size=6), min_size=1, max_size=3), st.data(), cost=4)
    def test_a_copy_answers_as_the_original(self, fresh: Fresh, batches: list[list[Any]], data: st.DataObject) -> None:
        """A copy answers as the store does, now and as known at any time, is sound, and does the same with what is written next."""
        with fresh() as store, fresh() as other:
            for rows in batches:
                _change(store, rows, data.draw(st.sampled_from(["save", "delete", "undo", "seal", "reject", "cover"])))
            _copy(store, other)
            assert _answers(store) == _answers(other)
            assert not check(database_of(other)).errors
            for batch in [one.id for one in store.batches() if one.undone_by is None][:1]:
                for each in (store, other):
                    each.undo(batch)
            for each in (store, other):
                each.save(batches[0])
            assert contents(store) == contents(other)
            assert list(map(_counts, store.batches())) == list(map(_counts, other.batches()))

    @holds(Contract.C5, Capability.UNDO)
    def test_a_copy_is_brought_up_to_date(self, fresh: Fresh) -> None:
        """A copy made again takes over what was written, undone and sealed since, and is equal once more."""
        with fresh() as store, fresh() as other:
            first = store.save([Quote("A", Instant(ts), 1, 2) for ts in range(20)])
            store.save([Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2)])
            _copy(store, other)
            store.save([Quote("A", Instant(3), 1, 3), Trade("B", Instant(1), 1, 1)])
            assert first.batch is not None
            store.undo(first.batch)
            store.seal()
            assert not _compare(store, other).equal
            assert _copy(store, other).equal
            assert _answers(store) == _answers(other)

    @holds(Contract.C4)
    def test_a_copied_quarantine_is_replayed_as_the_original(self, fresh: Fresh) -> None:
        """Rejected rows are copied with what their batch was recognised as: put in, they count the same in the copy."""
        quote = Quote("A", Instant(1), 1, 2)
        with fresh() as store, fresh() as other:
            store.save([quote, quote])
            with store.batch(origin="test") as batch:
                batch.write_records(QUOTES, [quote])
                kept = batch.quarantine([Quarantined("quotes", "A", 1, row, "A,x", ()) for row in range(3)])
            with store.batch(origin="test", replays=batch.id) as again:
                again.replay(QUOTES, to_table(QUOTES, [quote]), [kept[0].id])
            _copy(store, other)
            counts = []
            for each in (store, other):
                with each.batch(origin="test", replays=batch.id) as last:
                    counts.append(last.replay(QUOTES, to_table(QUOTES, [quote, quote]), [one.id for one in kept[1:]]))
            assert counts[0] == counts[1]
            assert contents(store) == contents(other)
            assert store.quarantined() == other.quarantined()
            assert (4, 4) == (len(store.get_quotes()), sum(entry.rows for entry in other.inventory()))

    @holds(Contract.C5)
    def test_other_data_are_never_mixed(self, fresh: Fresh) -> None:
        """A store to which anything else was written takes no copy, and stays as it is."""
        with fresh() as store, fresh() as other:
            store.save([Quote("A", Instant(1), 1, 2)])
            other.save([Quote("B", Instant(1), 1, 2)])
            before = _answers(other)
            with pytest.raises(DatabaseError, match="already holds other data"):
                _copy(store, other)
            assert before == _answers(other)

    @holds(Contract.C5, Capability.SEAL)
    @law(st.lists(few_records, min_size=1, max_size=20), cost=4)
    def test_checksums_do_not_depend_on_the_layout(self, fresh: Fresh, rows: list[Any]) -> None:
        """Two stores with the same rows, hot in one and sealed in the other, are equal; with one row more they are not."""
        with fresh() as store, fresh() as other:
            store.save(rows)
            _copy(store, other)
            other.seal()
            assert _compare(store, other).equal
            store.save([Quote("LATER", Instant(1), 1, 2)])
            found = {(one.part.table, one.part.subject): one.what for one in _compare(store, other).differences}
            assert {("batches", ""): "rows", ("rows", "LATER"): "only here"} == found


def _copy(store: DataStore, other: DataStore) -> Comparison:
    return copy_store(database_of(store), database_of(other), audit=AuditTrail(), tick=lambda _done, _all: None)


def _compare(store: DataStore, other: DataStore) -> Comparison:
    return compare(database_of(store), database_of(other), lambda _done, _all: None)


def _change(store: DataStore, rows: list[Any], action: str) -> None:
    done = [batch.id for batch in store.batches() if batch.undone_by is None]
    if action == "undo" and done:
        store.undo(done[0])
    elif action == "delete":
        store.delete(store.select("quotes", "A"))
    elif action == "reject":
        with store.batch(origin="test") as batch:
            finding = {"rule": "format", "message": f"'{len(rows)}' is no price"}
            batch.quarantine([Quarantined("quotes", "A", 1, row, f"{row},x", (finding,)) for row in range(len(rows))])
        store.discard_quarantined(symbol="A", kind="quotes") if len(rows) % 2 else None
    elif action == "cover":
        with store.batch(origin="test") as batch:
            batch.cover([CoverageEntry("bars", "A", "1m", "test", 0, 10 + len(rows), len(rows))])
    else:
        store.save(rows)
        if action == "seal" and Capability.SEAL in store.backend.capabilities:
            store.seal()


def _answers(store: DataStore) -> dict[str, Any]:
    """Return all that a store answers, now and as known at the time of each batch."""
    batches = store.batches(children=True)
    then = {
        (name, batch.id): store.select(name, as_known_at=batch.recorded_ns).to_list()
        for name, batch in itertools.product(KINDS, batches)
        if Capability.KNOWN_AT in store.backend.capabilities
    }
    own = {"batches": batches, "rejected": store.quarantined(), "coverage": store.coverage(), "then": then}
    return contents(store) | own


def _counts(batch: Any) -> Any:
    """Return a batch without its time."""
    return evolve(batch, recorded_ns=0)

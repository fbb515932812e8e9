"""C3: the ledger of fetched ranges belongs to the batches that fetched them."""

from __future__ import annotations

import contextlib

from attrs import evolve
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, QUOTES
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, CoverageEntry
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law

__all__ = ["CoverageTests"]

ENTRY = CoverageEntry("quotes", "A", None, "acme", 0, 100, 0)

entries = st.lists(
    st.builds(
        CoverageEntry,
        st.sampled_from(["quotes", "bars"]),
        st.sampled_from(["A", "B", "a", "\u00e9"]),
        st.sampled_from([None, "1d", "1m"]),
        st.sampled_from(["acme", "acme:x"]),
        st.integers(-5, 5),
        st.integers(6, 9),
        st.integers(0, 3),
    ),
    max_size=12,
)


class CoverageTests(StoreTests):
    """The ledger says which ranges were fetched, so that empty is not unknown."""

    @holds(Contract.C3)
    def test_the_ledger_knows_what_was_fetched(self, store: DataStore) -> None:
        """A range is in the ledger with its rows and its batch, also if it has none; a batch that fails enters nothing."""
        assert [] == list(store.coverage())
        with store.batch(origin="acme") as batch:
            batch.write(QUOTES, to_table(QUOTES, [Quote("A", Instant(5), 1, 2)]))
            batch.cover([evolve(ENTRY, rows=1), evolve(ENTRY, subject="B")])
        assert [evolve(ENTRY, rows=1, batch=batch.id), evolve(ENTRY, subject="B", batch=batch.id)] == store.coverage()
        assert [evolve(ENTRY, subject="B", batch=batch.id)] == store.coverage("quotes", "B")
        assert [] == store.coverage(BARS)
        with contextlib.suppress(ZeroDivisionError), store.batch(origin="acme") as failing:
            failing.cover([evolve(ENTRY, subject="C")])
            raise ZeroDivisionError
        assert [] == store.coverage("quotes", "C")

    @holds(Contract.C3, Capability.UNDO)
    def test_an_undone_batch_covers_nothing(self, store: DataStore) -> None:
        """What an undone batch fetched is unknown again; undoing the undo makes it known once more."""
        with store.batch(origin="acme") as batch:
            batch.cover([ENTRY])
        undone = store.undo(batch.id)
        assert [] == store.coverage()
        assert undone.batch is not None
        store.undo(undone.batch)
        assert [evolve(ENTRY, batch=batch.id)] == store.coverage()

    @holds(Contract.C3)
    def test_groups_of_a_stream_cover(self, store: DataStore) -> None:
        """A stream enters what it covers along with the records written before; its groups make one entry longer."""
        with store.stream(origin="acme", max_delay=0) as stream:
            stream.write(Quote("A", Instant(5), 1, 2))
            stream.cover([evolve(ENTRY, rows=1)])
            stream.flush()
            stream.cover([evolve(ENTRY, start_ns=100, end_ns=200, rows=2), evolve(ENTRY, subject="B")])
            stream.flush()
            stream.cover([evolve(ENTRY, start_ns=300, end_ns=400)])
        expected = [
            evolve(ENTRY, end_ns=200, rows=3, batch=stream.batch),
            evolve(ENTRY, start_ns=300, end_ns=400, batch=stream.batch),
            evolve(ENTRY, subject="B", batch=stream.batch),
        ]
        assert expected == list(store.coverage())
        assert [Quote("A", Instant(5), 1, 2)] == store.get_quotes()

    @holds(Contract.C3)
    @law(st.lists(entries, max_size=3), cost=4)
    def test_the_ledger_in_order(self, fresh: Fresh, batches: list[list[CoverageEntry]]) -> None:
        """The ledger returns what every batch covers, in its order, also of one kind or symbol; within a batch ranges are apart."""
        with fresh() as store:
            entered = []
            for part in batches:
                with store.batch(origin="acme") as batch:
                    for one in part:
                        batch.cover([one])
                entered += [evolve(one, batch=batch.id) for one in part]
            found = list(store.coverage())
            assert sorted(map(_key, found)) == list(map(_key, found))
            assert _instants(entered) == _instants(found)
            assert sum(one.rows for one in entered) == sum(one.rows for one in found)
            assert len(_instants(found)) == sum(one.end_ns - one.start_ns for one in found)
            some = [one for one in found if (one.kind, one.subject) == ("bars", "A")]
            assert some == list(store.coverage("bars", "A"))


def _key(one: CoverageEntry) -> tuple[object, ...]:
    return one.kind, one.subject, one.interval or "", one.origin, one.start_ns, one.batch


def _instants(found: list[CoverageEntry]) -> set[tuple[object, ...]]:
    return {
        (one.kind, one.subject, one.interval, one.origin, one.batch, at)
        for one in found
        for at in range(one.start_ns, one.end_ns)
    }

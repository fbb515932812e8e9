"""Changing one stored record that is named by its like: what stands in its place is meant, and so never taken for a redelivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import kind_of
from fpa_core.models import PortfolioSnapshot, Position, Record
from fpa_core.protocols import Query, Receipt
from fpa_core.store.selection import Selection

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fpa_core.store.batch import StoreBatch

__all__ = ["Changes"]


class Changes:
    """What the verbs that delete and update one record rest on."""

    batch: Callable[..., AbstractContextManager[StoreBatch]]
    save: Callable[..., Receipt]
    delete: Callable[..., Receipt]

    def _locate(self, record: Record, *, whole: bool) -> Selection[Any]:
        """Select what *record* stands for: its key, or, when *whole*, one row equal to it in everything."""
        kind = kind_of(record)
        if "ts_ns" in kind.key and record.ts_ns is None:
            raise DataError(
                f"a {kind.singular} without a time does not tell which one is meant",
                hint="give its timestamp, as get_positions() returns it",
                field="timestamp",
            )
        if kind.made_id is not None and getattr(record, kind.made_id) is None:
            raise DataError(
                f"a {kind.singular} without a {kind.made_id} does not tell which one is meant",
                hint=f"give its {kind.made_id}, as reading it returns it",
                field=kind.made_id,
            )
        names = [column.field for column in kind.columns] if whole else list(kind.key)
        equal = {name: getattr(record, name) for name in names if name not in {kind.subject, "ts_ns"}}
        query = Query(kind, equal=equal, limit=1)
        if whole or kind.subject in kind.key:
            query = evolve(query, subjects=(getattr(record, kind.subject),))
        if "ts_ns" in kind.key:
            assert record.ts_ns is not None
            query = evolve(query, start_ns=record.ts_ns, end_ns=record.ts_ns + 1)
        return Selection(self, query)  # type: ignore[arg-type]

    def _existing(self, record: Record) -> Selection[Any]:
        kind = kind_of(record)
        selection = self._locate(record, whole=kind.multiset)
        if not selection.store.backend.count(selection.query):
            raise DataError(
                f"there is no such {kind.singular} in the store: {record}", field=kind.singular, value=record
            )
        return selection

    def _delete_one(self, record: Record) -> Receipt:
        return self.delete(self._existing(record))

    def _update(self, record: Record) -> Receipt:
        """Put *record* in the place of the stored version, even of one that replaced it before: this is meant, not redelivered."""
        stored = self._existing(record)
        before = stored.first()
        assert before is not None
        if before == record:
            return self.save(record)
        with self.batch(source="api") as batch:
            _put(batch, record, stored.query)
            if isinstance(record, PortfolioSnapshot):
                self._replace_positions(batch, before.positions, record.positions)
        return evolve(batch.receipt, kind=kind_of(record).name, read=1, inserted=0, duplicate=0, revised=1)

    def _replace_positions(self, batch: StoreBatch, old: Sequence[Position], new: Sequence[Position]) -> None:
        for position in new:
            if position not in old:
                _put(batch, position, self._locate(position, whole=False).query)
        held = {position.symbol for position in new}
        for position in old:
            if position.symbol not in held:
                batch.delete(self._locate(position, whole=False).query)

    def _exchange(self, old: Record, new: Record) -> Receipt:
        if kind_of(old) is not kind_of(new):
            raise DataError(f"a {kind_of(old).singular} cannot become a {kind_of(new).singular}", value=new)
        stored = self._existing(old)
        if old == new:
            return self.save(new)
        there = stored.store.backend.count(evolve(self._locate(new, whole=True).query, limit=None))
        with self.batch(source="api") as batch:
            batch.delete(stored.query)
            # A batch that holds one more of them than the store adds exactly one.
            batch.write(kind_of(new), to_table(kind_of(new), [new] * (there + 1)))
        return evolve(batch.receipt, kind=kind_of(new).name, read=1, inserted=0, duplicate=0, revised=1)


def _put(batch: StoreBatch, record: Record, place: Query) -> None:
    """Write a version that is to stand at *place*; one that was replaced before would be taken for a redelivery, so that goes first."""
    kind = kind_of(record)
    table = to_table(kind, [record])
    if batch.write(kind, table).duplicate:
        batch.delete(place)
        batch.write(kind, table)

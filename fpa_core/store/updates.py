"""Replace or delete one stored record, identified by its key or by an equal record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError
from fpa_core.kinds import kind_of
from fpa_core.models import PortfolioSnapshot, Position, Record
from fpa_core.protocols import Query, Receipt
from fpa_core.store.batch import StoreBatch
from fpa_core.store.writer import BatchWriter, positions_of

__all__ = ["delete_record", "delete_rows", "exchange_record", "update_record"]


def delete_record(writer: BatchWriter, record: Record) -> Receipt:
    """Delete the stored record with the key of *record*, or one equal record of a kind without a key.

    :raises DataError: if there is none.
    """
    query = _existing(writer, record)
    return delete_rows(writer, query, [record] if isinstance(record, PortfolioSnapshot) else [])


def delete_rows(
    writer: BatchWriter, query: Query, snapshots: Iterable[PortfolioSnapshot], *, origin: str = "api"
) -> Receipt:
    """Delete the rows that *query* selects as one batch.

    :param snapshots: the snapshots among them, whose positions are deleted, too.
    """
    with writer.batch(origin=origin) as batch:
        for snapshot in snapshots:
            batch.delete(positions_of(snapshot))
        deleted = batch.delete(query)
        notes = (f"{deleted} {query.kind.name} deleted",)
        batch.complete_receipt(lambda receipt: evolve(receipt, kind=query.kind.name, notes=notes))
    return batch.receipt


def update_record(writer: BatchWriter, record: Record) -> Receipt:
    """Replace the stored version of *record*, even by one that it replaced before: an update is no redelivery.

    :raises DataError: if there is none.
    """
    query = _existing(writer, record)
    before = _first(writer, query)
    if before == record:
        return writer.save(record)
    with writer.batch() as batch:
        _put(batch, record, query)
        if isinstance(record, PortfolioSnapshot):
            assert isinstance(before, PortfolioSnapshot)
            _replace_positions(batch, before.positions, record.positions)
        batch.complete_receipt(_one_revised(record))
    return batch.receipt


def exchange_record(writer: BatchWriter, old: Record, new: Record) -> Receipt:
    """Replace one stored record equal to *old* by *new*.

    :raises DataError: if there is none, or *new* is of another kind.
    """
    if kind_of(old) is not kind_of(new):
        raise DataError(f"a {kind_of(old).singular} cannot become a {kind_of(new).singular}", value=new)
    query = _existing(writer, old)
    if old == new:
        return writer.save(new)
    stored = writer.rows.backend.count(evolve(_locate(new, whole=True), limit=None))
    with writer.batch() as batch:
        batch.delete(query)
        # A batch that holds one more of them than the store adds exactly one.
        batch.write(kind_of(new), to_table(kind_of(new), [new] * (stored + 1)))
        batch.complete_receipt(_one_revised(new))
    return batch.receipt


def _one_revised(record: Record) -> Callable[[Receipt], Receipt]:
    kind = kind_of(record).name
    return lambda receipt: evolve(receipt, kind=kind, read=1, inserted=0, duplicate=0, revised=1)


def _locate(record: Record, *, whole: bool) -> Query:
    """Return the query for the key of *record*; with *whole*, for one row equal to it in all columns."""
    kind = kind_of(record)
    if "ts_ns" in kind.key and record.ts_ns is None:
        raise DataError(
            f"a {kind.singular} without a time does not identify a stored one",
            hint="give its timestamp, as get_positions() returns it",
            field="timestamp",
        )
    if kind.made_id is not None and getattr(record, kind.made_id) is None:
        raise DataError(
            f"a {kind.singular} without a {kind.made_id} does not identify a stored one",
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
    return query


def _existing(writer: BatchWriter, record: Record) -> Query:
    kind = kind_of(record)
    query = _locate(record, whole=kind.multiset)
    if not writer.rows.backend.count(query):
        raise DataError(f"there is no such {kind.singular} in the store: {record}", field=kind.singular, value=record)
    return query


def _first(writer: BatchWriter, query: Query) -> Record | None:
    for batch in writer.rows.backend.scan(query, scaled=True):
        for record in writer.rows.records(query, batch):
            found: Record = record
            return found
    return None


def _replace_positions(batch: StoreBatch, old: Sequence[Position], new: Sequence[Position]) -> None:
    for position in new:
        if position not in old:
            _put(batch, position, _locate(position, whole=False))
    held = {position.symbol for position in new}
    for position in old:
        if position.symbol not in held:
            batch.delete(_locate(position, whole=False))


def _put(batch: StoreBatch, record: Record, place: Query) -> None:
    """Write *record* as the version at *place*; if it was replaced before, so that it counts as a duplicate, delete that version first."""
    kind = kind_of(record)
    table = to_table(kind, [record])
    if batch.write(kind, table).duplicate:
        batch.delete(place)
        batch.write(kind, table)

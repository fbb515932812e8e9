"""A model of a store of quotes and trades: one list of rows, searched from end to end each time.

It has no index, no layout and no transactions, so that each line can be compared with docs/explanation/merging.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from attrs import define, field, frozen

from fpa_core.models import Trade

__all__ = ["Brought", "Model", "Question", "Row", "venue_id"]


@define(eq=False)
class Row:
    """A row that is, or was, in the store.

    :ivar place: its order of arrival among the rows of its symbol and time.
    :ivar known_to: the batch that brought it, and the batches of which an equal row was matched with it; of a group of a stream, the stream.
    :ivar gone: the batch that removed it and the reason; None while it is current.
    :ivar since: the undo that restored it; None for a row as it came.
    """

    record: Any
    batch: int
    place: int
    known_to: set[int]
    gone: tuple[int, str] | None = None
    since: int | None = None

    @property
    def key(self) -> tuple[type[Any], str, int]:
        """Its kind, symbol and time: rows with the same key are merged with each other."""
        return type(self.record), self.record.symbol, self.record.ts_ns

    @property
    def order(self) -> tuple[str, int, int]:
        """Its place in the order of a read."""
        return self.record.symbol, self.record.ts_ns, self.place

    def was_known(self, batch: int) -> bool:
        """Return whether a read returned it when *batch* was the last one."""
        return (self.since or self.batch) <= batch and (self.gone is None or self.gone[0] > batch)


@frozen
class Question:
    """What to read: the answer of a store must be that of the model.

    :ivar columns: by number, for the Arrow form.
    :ivar batch: only rows that this batch brought.
    :ivar known: rows as they were known when this batch was the last one.
    :ivar at: an instant to ask ``as_of`` about.
    """

    what: type[Any]
    symbol: str | None
    start: int | None
    end: int | None
    limit: int | None
    latest_first: bool
    by_time: bool
    columns: list[int]
    batch: int | None
    origin: str | None
    known: int | None
    at: int


@define
class Brought:
    """The counts of a batch."""

    inserted: int = 0
    duplicate: int = 0
    revised: int = 0
    deleted: int = 0


@define
class Model:
    """All rows, current and former, and the batches."""

    rows: list[Row] = field(factory=list)
    origins: dict[int, str] = field(factory=dict)
    brought: dict[int, Brought] = field(factory=dict)
    undone: dict[int, int] = field(factory=dict)
    undoes: dict[int, int] = field(factory=dict)
    parents: dict[int, int] = field(factory=dict)

    def begin(self, batch: int, origin: str, parent: int | None = None) -> Brought:
        """Add a batch and return its counts."""
        self.origins[batch] = origin
        self.brought[batch] = Brought()
        if parent is not None:
            self.parents[batch] = parent
        return self.brought[batch]

    def standing(self, chosen: Callable[[Row], bool] = lambda _: True) -> list[Row]:
        """Return the current rows in the order of a read."""
        return sorted((row for row in self.rows if row.gone is None and chosen(row)), key=lambda row: row.order)

    def read(self, what: type[Any], known: int | None = None) -> list[Row]:
        """Return the rows of a kind: the current ones, or those known when batch *known* was the last one."""
        of_kind = [row for row in self.rows if isinstance(row.record, what)]
        found = (row for row in of_kind if (row.gone is None if known is None else row.was_known(known)))
        return sorted(found, key=lambda row: row.order)

    def answer(self, question: Question) -> list[Row]:
        """Return the rows that *question* selects."""
        rows = [
            row
            for row in self.read(question.what, question.known)
            if question.symbol in {None, row.record.symbol}
            and (question.start is None or question.start <= row.record.ts_ns)
            and (question.end is None or row.record.ts_ns < question.end)
            and (question.batch is None or row.batch in self.family(question.batch))
            and (question.origin is None or fnmatchcase(self.origins[row.batch], question.origin))
        ]
        if question.by_time:
            rows.sort(key=lambda row: row.record.ts_ns)
        return (rows[::-1] if question.latest_first else rows)[: question.limit]

    def arrive(self, batch: int, records: Iterable[Any]) -> None:
        """Store records of a batch, one after the other."""
        for record in records:
            key = (type(record), record.symbol, record.ts_ns)
            there = self.standing(lambda row, key=key: row.key == key)  # type: ignore[misc]
            if venue_id(record) is None:
                self._count(batch, record, there)
            else:
                self._revise(batch, record, there)

    def _count(self, batch: int, record: Any, there: list[Row]) -> None:
        """Match a record with an equal row that its batch has not matched yet; add it if there is none."""
        for row in there:
            if row.record == record and self.root(batch) not in row.known_to:
                row.known_to.add(self.root(batch))
                self.brought[batch].duplicate += 1
                return
        self._add(batch, record, _end(there))
        self.brought[batch].inserted += 1

    def _revise(self, batch: int, record: Any, there: list[Row]) -> None:
        """Replace the row with the id of *record*, unless it is equal or *record* is an earlier version."""
        present = next((row for row in there if venue_id(row.record) == venue_id(record)), None)
        if present is None:
            self._add(batch, record, _end(there))
            self.brought[batch].inserted += 1
        elif present.record == record or any(
            row.gone is not None and row.gone[1] == "revised" and row.record == record for row in self.rows
        ):
            self.brought[batch].duplicate += 1
        else:
            self._retire(present, batch, "revised")
            self._add(batch, record, present.place)
            self.brought[batch].revised += 1

    def delete(self, batch: int, rows: Iterable[Row]) -> int:
        """Remove rows and return how many."""
        rows = list(rows)
        for row in rows:
            self._retire(row, batch, "deleted")
        self.brought[batch].deleted += len(rows)
        return len(rows)

    def undo(self, batch: int, target: int) -> int:
        """Remove what *target* brought or restored, restore what it removed, and return how many rows changed."""
        self.undoes[batch] = target
        self._stop_counting(target, batch)
        family = self.family(target)
        removed = sorted((row for row in self.rows if row.gone and row.gone[0] in family), key=lambda row: row.order)
        taken = self.leaving(target)
        for row in taken:
            self._retire(row, batch, "undone")
        changed = len(taken)
        for row in removed:
            undo = self._undo_of(row.batch) or self._undo_of(row.since)
            if undo is not None and undo != batch:  # it returns when the batch that brought it does
                self.rows.append(Row(row.record, row.batch, row.place, row.known_to, (undo, "undone"), batch))
            elif undo is None and venue_id(row.record) is None:
                self._restore(row, batch)
                changed += 1
        slots = {_slot(row): None for row in [*removed, *taken] if venue_id(row.record) is not None}
        for slot in slots:
            versions = [row for row in self.rows if _slot(row) == slot]
            if all(row.gone for row in versions) and (last := self._last_version(versions)) is not None:
                self._restore(last, batch)
                changed += 1
        self.brought[batch].deleted += changed
        return changed

    def leaving(self, target: int) -> list[Row]:
        """Return the current rows that go if *target* is undone: those it brought or restored, and those of batches that it made count again."""
        family, brought = self.family(target), self.family(target)
        batch = target
        while (undone := self.undoes.get(batch)) is not None and undone in self.undoes:
            batch = self.undoes[undone]
            brought |= self.family(batch)
        return self.standing(lambda row: row.batch in brought or row.since in family)

    def _last_version(self, versions: list[Row]) -> Row | None:
        """Return the last version that counts: its batch does, and whatever replaced or deleted it does not."""
        deletions = [
            row.gone[0] for row in versions if row.gone and row.gone[1] == "deleted" and not self._undo_of(row.gone[0])
        ]
        counting = [
            row
            for row in versions
            if row.gone
            and self._undo_of(row.gone[0])
            and not self._undo_of(row.batch)
            and not self._undo_of(row.since)
            and max(row.batch, row.since or 0) > max(deletions, default=0)
        ]
        return max(counting, key=lambda row: (row.batch, row.since or 0), default=None)

    def _restore(self, row: Row, batch: int) -> None:
        there = self.standing(lambda other: other.key == row.key)
        taken = row.place in {other.place for other in there}
        place = _end(there) if taken else row.place
        known_to = {self.root(row.batch)} if taken else set(row.known_to)
        self.rows.append(Row(row.record, row.batch, place, known_to, None, batch))

    def _stop_counting(self, batch: int, by: int) -> None:
        self.undone[batch] = by
        if batch in self.undoes:
            self._count_again(self.undoes[batch])

    def _count_again(self, batch: int) -> None:
        self.undone.pop(batch, None)
        if batch in self.undoes:
            self._stop_counting(self.undoes[batch], batch)

    def _undo_of(self, batch: int | None) -> int | None:
        """Return the undo because of which a batch does not count; None if it counts."""
        return None if batch is None else self.undone.get(self.root(batch))

    def root(self, batch: int) -> int:
        """Return the stream of a group; any other batch as it is."""
        return self.parents.get(batch, batch)

    def family(self, batch: int) -> set[int]:
        """Return a batch and the groups of it, if it is a stream."""
        return {batch, *(child for child, parent in self.parents.items() if parent == batch)}

    def is_ambiguous(self, going: Iterable[Row], batch: int) -> bool:
        """Return whether some, but not all, of several equal rows are removed and *batch* was matched with some of them.

        No contract defines which of equal rows a batch was matched with.
        """
        leaving = [row for row in going if venue_id(row.record) is None]
        for row in leaving:
            equal = self.standing(lambda other, record=row.record: other.record == record)  # type: ignore[misc]
            if len({batch in one.known_to for one in equal}) > 1 and not all(one in leaving for one in equal):
                return True
        return False

    def _add(self, batch: int, record: Any, place: int) -> None:
        self.rows.append(Row(record, batch, place, {self.root(batch)}))

    def _retire(self, row: Row, batch: int, reason: str) -> None:
        row.gone = (batch, reason)


def venue_id(record: Any) -> tuple[Any, ...] | None:
    """Return the exchange and venue id of a trade; None if it has no id."""
    if not isinstance(record, Trade) or record.trade_id is None:
        return None
    return record.exchange, record.trade_id


def _slot(row: Row) -> tuple[Any, ...]:
    """Return the key of which only one version is live."""
    return row.key, venue_id(row.record)


def _end(there: list[Row]) -> int:
    """Return the next free place."""
    return max((row.place for row in there), default=-1) + 1

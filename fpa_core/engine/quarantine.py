"""The quarantine of a store: rejected records come in under the multiset rule, and change their state in the name of a batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import evolve

from fpa_core.engine.condensed import cells_text, digest
from fpa_core.engine.matched import Owners
from fpa_core.engine.tables import Sought, Writer
from fpa_core.exceptions import DataError
from fpa_core.protocols import Quarantined, QuarantineQuery, State

__all__ = ["QuarantineClaims", "QuarantineWriter"]

Likeness: TypeAlias = tuple[int, str, str, str | None]
"""What equal records share: digest, kind, text and cells."""


class QuarantineClaims:
    """Up to which record of other batches the rows of one batch were recognised, by digest: equal ones in the order of their ids."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self._before: dict[int, int | None] = {}

    def update(self, claims: Mapping[int, int]) -> None:
        """Note how far claims reach now."""
        for number in claims:
            self._before.setdefault(number, self.last.get(number))
        self.last.update(claims)

    def commit(self) -> None:
        """Keep what was noted since the last commit."""
        self._before.clear()

    def rollback(self) -> None:
        """Forget what was noted since the last commit."""
        for number, last in self._before.items():
            if last is None:
                del self.last[number]
            else:
                self.last[number] = last
        self._before.clear()


class QuarantineWriter:
    """Changes the quarantine in the name of one batch.

    :param owners: the batch, and the stream that it is a group of.
    """

    def __init__(self, tables: Writer, owners: Owners, claims: QuarantineClaims) -> None:
        self._tables = tables
        self._batch = owners.batch
        self._root = owners.root
        self._claims = claims

    @functools.cached_property
    def _last(self) -> int:
        """The last record there was before the first row: what comes after it is of this batch, and nothing that a row could repeat."""
        return self._tables.quarantine.last_id()

    def add(self, records: Sequence[Quarantined]) -> list[Quarantined]:
        """Keep those of *records* that other batches have not brought already, and return them with their ids."""
        likenesses = _likenesses(records)
        earlier = self._earlier(likenesses) if self._last else {}
        next_id = self._tables.quarantine.last_id() + 1
        kept: list[Quarantined] = []
        rows: list[tuple[int, Quarantined]] = []
        for record, likeness in zip(records, likenesses, strict=True):
            if earlier.get(likeness, 0):
                earlier[likeness] -= 1
                continue
            # What evolve() would make, at a quarter of the time.
            # fmt: off
            one = Quarantined(
                record.kind, record.subject, record.ts_ns, record.row, record.raw, record.findings, record.state, next_id + len(kept),
                self._root, record.changed_by, record.cells,
            )
            # fmt: on
            kept.append(one)
            rows.append((likeness[0], one))
        if rows:
            self._tables.quarantine.add(rows)
        return kept

    def _earlier(self, likenesses: Sequence[Likeness]) -> dict[Likeness, int]:
        """Claim equal records of other batches, and return how many there are: no more than there are rows."""
        wanted: dict[int, Likeness] = {}
        counts: dict[int, int] = {}
        for likeness in likenesses:
            number = likeness[0]
            # Another text with the same digest is new: better twice than lost.
            if wanted.setdefault(number, likeness) == likeness:
                counts[number] = counts.get(number, 0) + 1
        last = self._claims.last
        sought = [Sought(number, last.get(number, 0), count) for number, count in counts.items()]
        found: dict[Likeness, int] = {}
        claims: dict[int, int] = {}
        for number, record in self._tables.quarantine.like(sought, upto=self._last, root=self._root):
            likeness = (number, record.kind, record.raw, cells_text(record.cells))
            if likeness == wanted[number]:
                found[likeness] = found.get(likeness, 0) + 1
                claims[number] = max(record.id, claims.get(number, 0))
        if self._root != self._batch:
            # What was looked for in vain is not looked for again among the same records, which are those of earlier groups.
            claims |= {number: self._last for number, count in counts.items() if found.get(wanted[number], 0) < count}
        self._claims.update(claims)
        return found

    def settle(self, ids: Sequence[int], state: State) -> None:
        """Give open records their final state.

        :raises DataError: when one of them is not open.
        """
        if not ids:
            return
        query = QuarantineQuery(ids=tuple(ids), states=(State.OPEN,))
        if (changed := self._tables.quarantine.set_state(query, state, by=self._batch)) != len(set(ids)):
            raise DataError(
                f"{len(set(ids)) - changed} of the records are not open any more",
                hint="`fpa quarantine list` shows which are",
                field="id",
            )

    def discard(self, query: QuarantineQuery) -> int:
        """Discard the open records of *query*."""
        return self._tables.quarantine.set_state(evolve(query, states=(State.OPEN,)), State.DISCARDED, by=self._batch)

    def reject_again(self, records: Sequence[Quarantined]) -> None:
        """Note new findings of open records."""
        if records:
            self._tables.quarantine.set_findings(records, by=self._batch)

    def restore(self, batches: Sequence[int]) -> None:
        """Give records their states of now that *batches* count no longer, or again."""
        self._tables.quarantine.restore_states(batches, by=self._batch)


def _likenesses(records: Sequence[Quarantined]) -> list[Likeness]:
    found: list[Likeness] = []
    before: Quarantined | None = None
    for record in records:
        # Equal rows come in long runs, as the empty ones of a spreadsheet.
        if before is None or (record.raw, record.kind, record.cells) != (before.raw, before.kind, before.cells):
            cells = cells_text(record.cells)
            likeness = (digest(record.kind, record.raw, cells), record.kind, record.raw, cells)
        found.append(likeness)
        before = record
    return found

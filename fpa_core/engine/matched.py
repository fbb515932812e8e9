"""Track which stored rows the rows of one batch were matched with: each stored row matches one arriving row only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from attrs import define, field

from fpa_core.engine.sorting import Mask, Numbers
from fpa_core.engine.tables import Reader
from fpa_core.kinds import Kind

__all__ = ["MatchedRows", "Owners", "as_rows"]

_PIECES = 64
"""Pieces of one subject that are put together into one."""


@define
class Owners:
    """Whose rows count as rows of the batch being written.

    :ivar batch: the batch itself; ``parent`` the stream it is a group of: what its other groups brought is its own, too.
    :ivar replays: the batch whose rejected rows it puts in.
    """

    batch: int
    parent: int | None = None
    replays: int | None = None
    _known: dict[int, bool] = field(factory=dict)

    @property
    def root(self) -> int:
        """The batch as people see it: the stream, or the batch itself."""
        return self.batch if self.parent is None else self.parent

    def own(self, tables: Reader, batches: Iterable[int]) -> set[int]:
        """Return which of *batches* are its own."""
        asked = set(batches)
        if self.parent is not None:
            unknown = [batch for batch in asked if batch not in self._known and batch > self.parent]
            children = tables.batches.children_among(self.parent, unknown) if unknown else set()
            self._known.update((batch, batch in children) for batch in unknown)
        return {batch for batch in asked if batch in (self.batch, self.replays) or self._known.get(batch, False)}


class MatchedRows:
    """Rows of other batches that rows of this one were recognised as, 24 bytes each.

    A row is named by its time, its place among those of that time, and the batch that brought it: when it goes, another may get its place.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[Numbers]] = {}
        self._added: list[tuple[tuple[str, str], Numbers]] = []

    def add(self, kind: Kind, subject: str, rows: Numbers) -> None:
        """Note rows as matched: an array of time, place and batch, a line each."""
        if len(rows):
            self._rows.setdefault((kind.name, subject), []).append(rows)
            self._added.append(((kind.name, subject), rows))

    def between(self, kind: Kind, subject: str, first_ns: int, last_ns: int) -> set[tuple[int, int, int]]:
        """Return the rows matched in a range of time, both ends included."""
        found: set[tuple[int, int, int]] = set()
        for rows in self._rows.get((kind.name, subject), ()):
            within = rows[(rows[:, 0] >= first_ns) & (rows[:, 0] <= last_ns)]
            found.update(map(tuple, within.tolist()))
        return found

    def commit(self) -> None:
        """Keep what was added since the last commit."""
        for key in {key for key, _ in self._added}:
            if len(pieces := self._rows[key]) > _PIECES:
                pieces[:] = [np.concatenate(pieces)]
        self._added.clear()

    def rollback(self) -> None:
        """Forget what was added since the last commit."""
        for key, rows in self._added:
            pieces = self._rows[key]
            pieces[:] = [piece for piece in pieces if piece is not rows]
        self._added.clear()

    def __iter__(self) -> Iterator[tuple[str, str, Numbers]]:
        """Yield kind, subject and rows."""
        for (kind, subject), pieces in self._rows.items():
            for rows in pieces:
                yield kind, subject, rows


def as_rows(times: Numbers, places: Numbers, batches: Numbers, chosen: Mask) -> Numbers:
    """Return the rows chosen in the form that :meth:`MatchedRows.add` takes."""
    return np.stack([times[chosen], places[chosen], batches[chosen]], axis=1)

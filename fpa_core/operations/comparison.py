"""The comparison of two stores, by the checksums of all that they hold."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from fpa_core.engine.tables import Database, Reader
from fpa_core.kinds import KINDS
from fpa_core.operations.checksums import Part, Sum, Sums, add_up, sums_of, sums_of_bookkeeping
from fpa_core.protocols import Tick

__all__ = ["Comparison", "Difference", "Progress", "compare", "compare_states", "place_of", "rows_in"]


class Progress:
    """Counts rows, and tells how many of all are done.

    :param whole: how many there are; if more come, it stays at the end.
    """

    def __init__(self, tick: Tick, whole: int) -> None:
        self._tick = tick
        self._whole = whole
        self._done = 0

    def __call__(self, rows: int) -> None:
        """Count rows that are done."""
        self._done += rows
        self._tick(min(self._done, self._whole), self._whole)


@frozen
class Difference:
    """A part in which two stores differ.

    :ivar here: its sum in the first store, None if it has nothing of it; ``there`` that in the second.
    """

    part: Part
    here: Sum | None
    there: Sum | None

    @property
    def what(self) -> str:
        """What differs: ``only here``, ``only there``, ``rows`` (their number), ``values``, or ``provenance``: the same records of other batches or places."""
        if self.here is None or self.there is None:
            return "only there" if self.here is None else "only here"
        if self.here.rows != self.there.rows:
            return "rows"
        return "values" if self.here.values != self.there.values else "provenance"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        sums = {
            name: None if one is None else _plain(one) for name, one in (("here", self.here), ("there", self.there))
        }
        return self.part._asdict() | {"differs": self.what} | sums


@frozen
class Comparison:
    """How two stores compare.

    :ivar here: what and where the first store is; ``there`` the second.
    :ivar parts: the sums of the first store; :attr:`differences` has the parts in which the second has others.
    :ivar seconds: how long it took.
    """

    here: str
    there: str
    parts: Mapping[Part, Sum] = field(repr=False)
    differences: tuple[Difference, ...]
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether both hold the same."""
        return not self.differences

    @property
    def totals(self) -> dict[tuple[str, str], Sum]:
        """The sums of the first store by table and kind."""
        whole = add_up((Part(part.table, part.kind), one) for part, one in self.parts.items())
        return {(part.table, part.kind): one for part, one in whole.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "here": self.here,
            "there": self.there,
            "equal": self.equal,
            "seconds": round(self.seconds, 3),
            "differences": [one.as_dict() for one in self.differences],
            "parts": [part._asdict() | _plain(one) for part, one in sorted(self.parts.items())],
        }


def _plain(one: Sum) -> dict[str, Any]:
    return {"rows": one.rows, "checksum": one.checksum}


def compare(here: Database, there: Database, tick: Tick) -> Comparison:
    """Compare all that two stores hold. Both are read in one state each; others may write meanwhile."""
    with here.reader("compare with another store") as one, there.reader("compare with another store") as other:
        progress = Progress(tick, rows_in(one) + rows_in(other))
        return compare_states(place_of(here), one, place_of(there), other, progress)


def compare_states(here: str, one: Reader, there: str, other: Reader, progress: Progress) -> Comparison:
    """Compare one state of two stores."""
    started = time.perf_counter()
    parts: Sums = {}
    differences: list[Difference] = []
    for name in (None, *KINDS):
        mine, others = (
            sums_of_bookkeeping(tables) if name is None else sums_of(tables, KINDS[name], progress)
            for tables in (one, other)
        )
        parts |= mine
        pairs = ((part, mine.get(part), others.get(part)) for part in sorted(mine.keys() | others.keys()))
        differences += (Difference(*pair) for pair in pairs if pair[1] != pair[2])
    return Comparison(here, there, parts, tuple(differences), time.perf_counter() - started)


def rows_in(tables: Reader) -> int:
    """Return how many rows of all kinds reads return."""
    entries = [
        entry
        for kind in KINDS.values()
        for entry in (*tables.rows.inventory(kind), *(tables.segments.inventory(kind) if kind.multiset else ()))
    ]
    return sum(entry.rows for entry in entries)


def place_of(database: Database) -> str:
    """Return what and where a store is, without a secret."""
    described = database.describe()
    return described.backend if described.path is None else f"{described.backend} {described.path}"

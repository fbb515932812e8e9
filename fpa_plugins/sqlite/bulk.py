"""Bulk rows of quotes and trades on their way into segments: gathered by subject, and compared with sealed rows where they meet."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from attrs import define, field

from fpa_core.arrow import columns
from fpa_core.arrow.batches import concat, equal_rows, to_decimal
from fpa_core.engine.merge import Stored
from fpa_core.kinds import Kind
from fpa_core.protocols import Query
from fpa_core.segments.reader import Segment
from fpa_plugins.sqlite import packing, sealed
from fpa_plugins.sqlite.arranging import Run
from fpa_plugins.sqlite.claims import Claims
from fpa_plugins.sqlite.schema import tables

__all__ = ["Known", "Shelf"]

MOST_GATHERED = 1_048_576
"""Rows held back before all of them are written, so that ten thousand symbols at once need no more memory than one."""

BYTES_OF_A_ROW = 128
"""Bytes that count as one row held back: rows of long texts are many, by this measure."""

KEPT_OPEN = 64
"""Segments kept decoded for the rows that follow."""

Row = tuple[Any, ...]
Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Known:
    """A sealed segment that arriving rows meet.

    :ivar claimed: which of its rows belong to the batch being written, or were recognised as rows of it.
    """

    def __init__(self, entry: sealed.Entry, segment: Segment, claimed: Mask) -> None:
        self.kind = entry.kind
        self.entry = entry
        self.times: Times = segment.integers("timestamp")
        self.rows = sealed.rows_of(entry, segment, scaled=True)
        self.places = segment.places()
        self.claimed = claimed

    def claim_run(self, rows: pa.RecordBatch, times: Times) -> bool:
        """Claim a run of the segment that equals *rows*; false, and nothing is claimed, where there is none."""
        start = int(np.searchsorted(self.times, times[0], "left"))
        while start < len(self.times) and self.claimed[start] and self.times[start] == times[0]:
            start += 1
        end = start + len(times)
        if end > len(self.times) or self.claimed[start:end].any() or not np.array_equal(self.times[start:end], times):
            return False
        if not equal_rows(self.kind, self.rows.slice(start, len(times)), rows):
            return False
        self.claimed[start:end] = True
        return True

    def at(self, ts_ns: int) -> Iterator[Stored[Row]]:
        """Yield the rows at a time, with contents as SQLite keeps them; a place is this segment and the row's number in it."""
        start, end = (int(np.searchsorted(self.times, ts_ns, side)) for side in ("left", "right"))
        for row in range(start, end):
            yield Stored((self, row), self._contents[row], bool(self.claimed[row]))

    @functools.cached_property
    def _contents(self) -> list[Row]:
        fields = [self.kind.by_field[name] for name in tables(self.kind).content]
        rows = to_decimal(self.kind, self.rows).combine_chunks()
        arrays = [(column, rows.column(column.name).combine_chunks()) for column in fields]
        values = [columns.as_texts(array) if column.type == "decimal" else array for column, array in arrays]
        return list(zip(*(array.to_pylist() for array in values), strict=True))


@define
class _Gathered:
    """Rows of one subject, in order of time, with nothing stored among them."""

    last_ns: int
    parts: list[pa.RecordBatch] = field(factory=list)
    rows: int = 0
    weight: int = 0


class Shelf:
    """What one batch has gathered for segments, and the segments it has met."""

    def __init__(self, connection: apsw.Connection, batch_id: int, claims: Claims) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._earlier_claims = claims
        self._gathered: dict[tuple[Kind, str], _Gathered] = {}
        self._total = 0
        self._open: OrderedDict[int, Known] = OrderedDict()
        self._claims: dict[int, tuple[sealed.Entry, Mask]] = {}

    def last_gathered(self, kind: Kind, subject: str) -> int | None:
        """Return the time of the last row held back of a subject."""
        held = self._gathered.get((kind, subject))
        return None if held is None else held.last_ns

    def gather(self, kind: Kind, subject: str, run: Run) -> None:
        """Hold back rows that no stored ones lie among, nor between them and what is held back already."""
        held = self._gathered.setdefault((kind, subject), _Gathered(run.last_ns))
        held.parts.append(run.rows)
        held.rows += len(run.times)
        held.last_ns = run.last_ns
        weight = max(len(run.times), run.rows.nbytes // BYTES_OF_A_ROW)
        held.weight += weight
        self._total += weight

    def overfull(self) -> Iterator[tuple[Kind, str]]:
        """Yield what to flush when much is held back: whoever has a segment full, then the others with the most rows, until half is gone."""
        if self._total <= MOST_GATHERED:
            return
        by_rows = sorted(self._gathered, key=lambda key: self._gathered[key].rows, reverse=True)
        for key in by_rows:
            if self._gathered[key].rows < sealed.SEGMENT_ROWS and self._total <= MOST_GATHERED // 2:
                break
            yield key
        for key, held in self._gathered.items():
            # A part is a view of all rows that arrived with it, which a copy lets go of.
            rows = concat(key[0], held.parts)
            held.parts = [rows.take(pa.array(np.arange(rows.num_rows)))]

    def flush(self, kind: Kind | None = None, subject: str | None = None) -> list[tuple[Kind, str, pa.RecordBatch]]:
        """Write what is held back, of one subject or of all, and return the rows that are too few for a segment."""
        too_few = []

        def enough(keys: Sequence[tuple[Kind, str]]) -> Iterator[packing.Unsealed]:
            for key in keys:
                if (held := self._gathered.pop(key, None)) is not None:
                    self._total -= held.weight
                    rows = concat(key[0], held.parts)
                    if held.rows >= sealed.LEAST_ROWS:
                        yield packing.Unsealed(*key, rows, np.full(held.rows, self._batch_id))
                    else:
                        too_few.append((*key, rows))

        one = [(kind, subject)] if kind is not None and subject is not None else None
        packing.write(self._connection, enough(one or list(self._gathered)))
        return too_few

    def meeting(self, kind: Kind, subject: str, first_ns: int, last_ns: int) -> list[Known]:
        """Return the segments of a subject that share time with a range, both ends included."""
        found = []
        for entry in list(sealed.find(self._connection, Query(kind, (subject,), first_ns, last_ns + 1))):
            known = self._open.get(entry.id)
            if known is None:
                segment = sealed.read(self._connection, entry)
                # Claims last as long as the batch, a bit for each row met; the rows are read again when they are met again.
                if entry.id not in self._claims:
                    self._claims[entry.id] = (entry, self._claimed(entry, segment))
                known = self._open[entry.id] = Known(entry, segment, self._claims[entry.id][1])
                if len(self._open) > KEPT_OPEN:
                    self._open.popitem(last=False)
            found.append(known)
        return found

    def _claimed(self, entry: sealed.Entry, segment: Segment) -> Mask:
        """Tell which rows of a segment belong to this batch, or were claimed by it before."""
        owners = segment.integers("batch")
        claimed: Mask = np.isin(owners, list(self._earlier_claims.owners))
        earlier = self._earlier_claims.between(entry.kind, entry.subject, entry.first_ns, entry.last_ns)
        if earlier:
            rows = zip(segment.integers("timestamp").tolist(), segment.places().tolist(), owners.tolist(), strict=True)
            claimed |= np.fromiter((row in earlier for row in rows), bool, segment.rows)
        return claimed

    def keep_claims(self) -> None:
        """Write down the claims on sealed rows, which may be hot, or in other segments, when they are asked for again."""
        for entry, claimed in self._claims.values():
            self._keep(entry, sealed.read(self._connection, entry), claimed)
        self._claims.clear()
        self._open.clear()

    def _keep(self, entry: sealed.Entry, segment: Segment, claimed: Mask) -> None:
        owners = segment.integers("batch")
        rows = np.flatnonzero(claimed & (owners != self._batch_id))
        named = (segment.integers("timestamp"), segment.places(), owners)
        claims = zip(*(numbers[rows].tolist() for numbers in named), strict=True)
        self._earlier_claims.add(entry.kind, entry.subject, claims)

    def unseal(self, query: Query) -> None:
        """Turn the segments that may hold rows of *query* back into hot rows; claims on them stay."""
        entries = list(sealed.find(self._connection, query))
        for entry in entries:
            segment = sealed.read(self._connection, entry)
            self._open.pop(entry.id, None)
            if entry.id in self._claims:
                self._keep(entry, segment, self._claims.pop(entry.id)[1])
            self._make_hot(entry, segment)
        sealed.remove(self._connection, entries)

    def _make_hot(self, entry: sealed.Entry, segment: Segment) -> None:
        t = tables(entry.kind)
        rows = sealed.rows_of(entry, segment)
        places, owners = segment.places(), segment.integers("batch")
        values = []
        for name in t.fields:
            column = entry.kind.by_field[name]
            array = rows.column(column.name)
            if column.type == "decimal":
                array = columns.as_texts(array)
            elif column.type == "time":
                array = columns.times_as_ns(array)
            values.append(array.to_pylist())
        self._connection.executemany(t.insert, zip(*values, places.tolist(), owners.tolist(), strict=True))

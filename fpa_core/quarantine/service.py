"""The quarantine of a data layer: list, replay, retry, fix, discard and export rejected records."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack

from fpa_core.arrow.conversion import texts_of_rows
from fpa_core.exceptions import DataError
from fpa_core.export import FORMATS, Format
from fpa_core.outputs import whole_file
from fpa_core.protocols import SHAPE, Chunk, Quarantined, is_shortened
from fpa_core.quarantine.export import write_entries
from fpa_core.quarantine.replay import fix, replay, retry
from fpa_core.quarantine.rules import ReplayRules
from fpa_core.store.queries import QuarantineConditions

if TYPE_CHECKING:
    from fpa_core.protocols import Receipt
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["Quarantine"]


class Quarantine:
    """The rejected records of a data layer, as ``data.quarantine``.

    The conditions of each method select records; all that are given must hold: ``id``, ``batch``, ``kind``, ``symbol``, ``rule``, ``origin``,
    ``state`` and ``changed_by``. See :func:`fpa_core.store.queries.quarantine_query`.

    :param validator: returns the validator with the enabled rules; called when records are checked.
    :param read: parses rows of a file again; None if that is not possible.
    """

    def __init__(
        self,
        store: DataStore,
        validator: Callable[[], DataValidator],
        read: Callable[..., Iterator[Chunk]] | None = None,
    ) -> None:
        self._read = read
        self._store = store
        self._validator = validator

    def __repr__(self) -> str:
        return f"<Quarantine of {self._store!r}>"

    def list(self, **conditions: Unpack[QuarantineConditions]) -> list[Quarantined]:
        """Return records, latest first, at most *limit* of them."""
        return self._store.quarantined(**conditions)

    def count(self, **conditions: Unpack[QuarantineConditions]) -> int:
        """Return the number of records; a limit is ignored."""
        return self._store.count_quarantined(**conditions)

    def get(self, id: int) -> Quarantined:  # noqa: A002  # the name of the column
        """Return one record.

        :raises DataError: if there is none of that id.
        """
        for found in self._store.quarantined(id=id):
            return found
        raise DataError(f"no record {id} in quarantine", hint="`fpa quarantine list` lists them", field="id", value=id)

    def replay(
        self, *, ignore_rules: Collection[str] = (), **conditions: Unpack[QuarantineConditions]
    ) -> Sequence[Receipt]:
        """Check open records against the enabled rules again, and store those that pass; the others stay, with their new findings.

        A rule about a series or several tables cannot check a record again, because the rows before it are gone: its finding is kept while the rule
        is enabled as an error. There is one receipt, and one batch, for each batch that rejected records; each is all or nothing.

        :param ignore_rules: ids of rules that do not reject a record this time; records that break them are counted in the receipt's warnings.
        """
        return replay(self._store, ReplayRules(self._validator(), ignore_rules), **conditions)

    def retry(self, batch: int, *, ignore_rules: Collection[str] = (), **options: Any) -> Receipt:
        """Parse rows of a batch that could not be parsed again with other options, and store those that are valid now; the others stay.

        For rows that broke a rule use :meth:`replay`.

        :param batch: the batch that rejected them.
        :param ignore_rules: as for :meth:`replay`.
        :param options: how to read them, as in :meth:`fpa_core.DataLayer.ingest`; the options of that ingest are the defaults.
        :raises DataError: if there are none, or they cannot be parsed again.
        """
        rejected = self._store.quarantined(batch=batch, rule=SHAPE, state="open")
        origin = next(iter(self._store.backend.batches(batch=batch)), None)
        if not rejected or origin is None:
            raise DataError(f"batch {batch} has no open rows that could not be parsed", field="batch", value=batch)
        if origin.reading is None or self._read is None:
            raise DataError(
                f"it is unknown how the rows of batch {batch} were read", hint="ingest their file again", field="batch"
            )
        reading = json.loads(origin.reading)
        rows = sorted(rejected, key=lambda each: (each.row or 0, each.id))
        read = _read_again(rows, reading, self._read, {"file": origin.file, **reading["said"], **options})
        return retry(self._store, batch, read, ReplayRules(self._validator(), ignore_rules))

    def fix(self, id: int, changes: Mapping[str, Any], *, ignore_rules: Collection[str] = ()) -> Receipt:  # noqa: A002
        """Change values of an open record, check it again, and store it.

        :param changes: new values by the names of the columns; None removes one.
        :param ignore_rules: as for :meth:`replay`.
        :raises DataError: if it is not open, or the values do not make a record.
        :raises ValidationError: if it still breaks a rule of severity error; nothing is changed.
        """
        return fix(self._store, id, changes, ReplayRules(self._validator(), ignore_rules))

    def discard(self, **conditions: Unpack[QuarantineConditions]) -> Receipt:
        """Mark open records as discarded; undoing the batch of the receipt reopens them."""
        return self._store.discard_quarantined(**conditions)

    def export(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        format: Format = "csv",  # noqa: A002
        **conditions: Unpack[QuarantineConditions],
    ) -> int:
        """Write records in the order of batch and row, and return their number.

        JSON Lines have all attributes of a record, and ``values``, its columns. CSV and Parquet have the columns :data:`COLUMNS`.

        :param target: a binary stream; or a path, whose file is replaced once all records are written.
        """
        if format not in FORMATS:
            raise DataError(f"unknown output format {format!r}", hint=f"one of: {', '.join(FORMATS)}", value=format)
        records = self._store.iter_quarantined(in_order=True, **conditions)
        if not isinstance(target, str | os.PathLike):
            return write_entries(records, target, format)
        with whole_file(Path(target)) as stream:
            return write_entries(records, stream, format)


def _read_again(
    rows: Sequence[Quarantined],
    reading: Mapping[str, Any],
    read: Callable[..., Iterator[Chunk]],
    options: Mapping[str, Any],
) -> dict[int, Mapping[str, str] | str]:
    """Return, by the id of each row, its values as they are parsed now, or why it still cannot be parsed."""
    found: dict[int, Mapping[str, str] | str] = {}
    tables: list[dict[str, Any]] = []
    ids: list[int] = []
    for each in rows:
        cells = _cells_of(each.raw, reading["names"], reading["delimiter"])
        if is_shortened(each.raw):
            found[each.id] = "the row is kept only in part: ingest its file again to read it with other options"
        elif cells is None:
            found[each.id] = each.findings[0]["message"]
        else:
            tables.append(cells)
            ids.append(each.id)
    for chunk in read(tables, **{"kind": rows[0].kind, **options}) if tables else ():
        for row, texts in zip(chunk.rows, texts_of_rows(chunk.kind, chunk.table), strict=True):
            found[ids[row - 1]] = texts
        for reject in chunk.rejects:
            found[ids[reject.row - 1]] = reject.problem
    return found


def _cells_of(raw: str, names: Sequence[str], delimiter: str | None) -> dict[str, Any] | None:
    """Return the cells of a row by the columns of its file; None if it cannot be split into them."""
    try:
        if delimiter is None:
            parsed = json.loads(raw, parse_float=str, parse_int=str)
            return parsed if isinstance(parsed, dict) else None
        (cells,) = csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter, strict=True)
    except (ValueError, csv.Error):
        return None
    return dict(zip(names, cells, strict=False)) if len(cells) == len(names) else None

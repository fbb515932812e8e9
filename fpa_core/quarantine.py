"""The quarantine of a data layer: what was refused is listed, judged again by the rules in force, mended, discarded, written to a file."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.export import FORMATS, Format, whole_file
from fpa_core.ingest import SHAPE, refused_record, values_of_rows
from fpa_core.kinds import kind_of
from fpa_core.numbers import ns_text
from fpa_core.protocols import Chunk, Finding, Quarantined, Severity, is_shortened
from fpa_core.store.quarantine import values_of

if TYPE_CHECKING:
    from fpa_core.protocols import Receipt
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["Quarantine", "as_dict"]

CRASHED = "RULE_CRASHED: "
PAGE = 4_096
"""Records written to a file at once."""

COLUMNS = (
    "id", "batch", "row", "kind", "symbol", "timestamp", "state", "changed_by", "rules", "messages", "raw",
)  # fmt: skip
"""The columns of a quarantine that is written as CSV or Parquet."""


class Quarantine:
    """The refused records of a data layer, as ``data.quarantine``.

    The conditions of each verb say which records it is about; all that are given must hold: ``id`` (one or several), ``batch``, ``kind``, ``symbol``,
    ``rule``, ``source`` and ``state``. The middle three but one take patterns, or several of them; see :func:`fpa_core.store.quarantine.quarantine_query`.
    """

    def __init__(
        self,
        store: DataStore,
        validator: Callable[[], DataValidator],
        notify: Callable[..., None] = lambda *_, **__: None,
        read: Callable[..., Iterator[Chunk]] | None = None,
    ) -> None:
        self._read = read
        self._store = store
        self._validator = validator
        self._notify = notify

    def list(self, *, limit: int | None = None, **conditions: Any) -> list[Quarantined]:
        """List records, latest first, at most *limit* of them."""
        return self._store.quarantined(limit=limit, **conditions)

    def count(self, **conditions: Any) -> int:
        """Count records."""
        return self._store.count_quarantined(**conditions)

    def get(self, id: int) -> Quarantined:  # noqa: A002  # it is called so in the table, too
        """Return one record.

        :raises DataError: when there is none of that id.
        """
        for found in self._store.quarantined(id=id):
            return found
        raise DataError(f"no record {id} in quarantine", hint="`fpa quarantine list` lists them", field="id", value=id)

    def replay(self, *, waive: Collection[str] = (), **conditions: Any) -> Sequence[Receipt]:
        """Judge open records again by the rules in force, and store those that pass; the others stay, with what is wrong with them now.

        A rule about a series or about several tables cannot be asked again, as what a record came after is gone: its finding stands while the rule is in
        force as an error. There is one receipt, and one batch, for each batch that had refused records; each is kept whole or not at all.

        :param waive: ids of rules that are not to keep a record out this time; what breaks them is counted under the receipt's warnings.
        """
        receipts = self._store.replay_quarantined(_Rules(self._validator(), waive), **conditions)
        for receipt in receipts:
            self._notify("fpa_ingested", receipt=receipt)
        return receipts

    def retry(self, batch: int, *, waive: Collection[str] = (), **options: Any) -> Receipt:
        """Read refused rows of a batch again with other options, and store those that are records now; the others stay, with what is wrong with them.

        Rows that broke a rule were read well, and are left to :meth:`replay`.

        :param batch: the batch that refused them.
        :param waive: as for :meth:`replay`.
        :param options: how to read them, as :meth:`fpa_core.DataLayer.ingest` takes it; what was said then holds where nothing else is said.
        :raises DataError: when there are none, or they cannot be read again.
        """
        refused = self._store.quarantined(batch=batch, rule=SHAPE, state="open")
        origin = next(iter(self._store.backend.batches(batch=batch)), None)
        if not refused or origin is None:
            raise DataError(f"batch {batch} has no open rows that could not be read", field="batch", value=batch)
        if origin.reading is None or self._read is None:
            raise DataError(
                f"it is unknown how the rows of batch {batch} were read", hint="ingest their file again", field="batch"
            )
        reading = json.loads(origin.reading)
        rows = sorted(refused, key=lambda each: (each.row or 0, each.id))
        read = _read_again(rows, reading, self._read, {"file": origin.file, **reading["said"], **options})
        receipt = self._store.retry_quarantined(batch, read, _Rules(self._validator(), waive))
        self._notify("fpa_ingested", receipt=receipt)
        return receipt

    def fix(self, id: int, changes: Mapping[str, Any], *, waive: Collection[str] = ()) -> Receipt:  # noqa: A002
        """Change values of an open record, judge it again, and store it.

        :param changes: new values by the names of the columns; None takes a value away.
        :param waive: as for :meth:`replay`.
        :raises DataError: when it is not open, or is still no record.
        :raises ValidationError: when it still breaks a rule of severity error; nothing is changed then.
        """
        receipt = self._store.fix_quarantined(id, changes, _Rules(self._validator(), waive))
        self._notify("fpa_ingested", receipt=receipt)
        return receipt

    def discard(self, **conditions: Any) -> Receipt:
        """Discard open records. They stay in the database, marked with the batch that discarded them; undoing it reopens them."""
        return self._store.discard_quarantined(**conditions)

    def export(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        format: Format = "csv",  # noqa: A002
        **conditions: Any,
    ) -> int:
        """Write records, in the order of batch and row, and return how many they were.

        JSON Lines have all of a record: what ``list`` returns and ``values``, its columns. CSV and Parquet have a row for each, with :data:`COLUMNS`.

        :param target: a path, which then holds either what it held before or all of the records; or a binary stream.
        """
        if format not in FORMATS:
            raise DataError(f"unknown output format {format!r}", hint=f"one of: {', '.join(FORMATS)}", value=format)
        records = self._store.iter_quarantined(in_order=True, **conditions)
        if not isinstance(target, str | os.PathLike):
            return _write(records, target, format)
        with whole_file(Path(target)) as stream:
            return _write(records, stream, format)


def _read_again(
    rows: Sequence[Quarantined],
    reading: Mapping[str, Any],
    read: Callable[..., Iterator[Chunk]],
    options: Mapping[str, Any],
) -> dict[int, Mapping[str, str] | str]:
    """Return, by the id of each refused row, its values as they are read now, or what is still wrong."""
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
        for row, values in zip(chunk.rows, values_of_rows(chunk.kind, chunk.table), strict=True):
            found[ids[row - 1]] = {name: str(value) for name, value in values.items()}
        for reject in chunk.rejects:
            found[ids[reject.row - 1]] = reject.problem
    return found


def _cells_of(raw: str, names: Sequence[str], delimiter: str | None) -> dict[str, Any] | None:
    """Return the cells of a refused row by the names of its source's columns; None where they cannot be told apart."""
    try:
        if delimiter is None:
            parsed = json.loads(raw, parse_float=str, parse_int=str)
            return parsed if isinstance(parsed, dict) else None
        (cells,) = csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter, strict=True)
    except (ValueError, csv.Error):
        return None
    return dict(zip(names, cells, strict=False)) if len(cells) == len(names) else None


class _Rules:
    """Judges refused records by the rules in force."""

    def __init__(self, validator: DataValidator, waive: Collection[str]) -> None:
        rules = {rule["id"]: rule for rule in validator.rules()}
        if unknown := [rule for rule in waive if rule not in rules]:
            raise DataError(
                f"rule {unknown[0]!r} is unknown or disabled; nothing to ignore",
                hint="`fpa rules` lists the enabled rules",
                field="waive",
                value=unknown[0],
            )
        self._validator = validator
        self._waive = frozenset(waive)
        beyond = [rule for rule in rules.values() if rule["scope"] != "row"]
        self._beyond = frozenset(rule["id"] for rule in beyond)
        self._standing = frozenset(rule["id"] for rule in beyond if _refuses(rule))

    def judge(self, record: Any, earlier: Sequence[Mapping[str, Any]]) -> Sequence[Finding]:
        """Return what rules about single records say now, and what other rules said then, where they are still errors."""
        now = [each for each in self._validator.check(record) if _rule(each.rule) not in self._beyond]
        then = [
            _finding(record, each)
            for each in earlier
            if each["severity"] == "error" and _rule(each["rule"]) in self._standing
        ]
        return [
            evolve(each, severity=Severity.WARNING) if _rule(each.rule) in self._waive else each
            for each in (*now, *then)
        ]

    def keep(self, record: Any, row: int | None, findings: Sequence[Finding]) -> Quarantined:
        """Return a record as it is kept in quarantine."""
        return refused_record(record, row, findings)


def _rule(name: str) -> str:
    return name.removeprefix(CRASHED)


def _refuses(rule: Mapping[str, Any]) -> bool:
    """Return whether a rule has severity error for at least some records."""
    severities = [rule["severity"], *(each.get("severity") for each in rule.get("overrides", {}).values())]
    return Severity.ERROR in severities


def _finding(record: Any, earlier: Mapping[str, Any]) -> Finding:
    kind = kind_of(record)
    rest = {name: earlier[name] for name in ("limit", "related") if name in earlier}
    return Finding(
        earlier["rule"],
        Severity(earlier["severity"]),
        earlier["message"],
        kind.name,
        getattr(record, kind.subject),
        record.ts_ns,
        earlier["observed"],
        **rest,
    )


def as_dict(record: Quarantined) -> dict[str, Any]:
    """Return a record as JSON-able values, with ``values``: its columns, as far as they can be told."""
    return {
        "id": record.id,
        "batch": record.batch,
        "row": record.row,
        "kind": record.kind,
        "subject": record.subject,
        "ts_ns": record.ts_ns,
        "timestamp": None if record.ts_ns is None else ns_text(record.ts_ns),
        "state": str(record.state),
        "changed_by": record.changed_by,
        "findings": [dict(finding) for finding in record.findings],
        "raw": record.raw,
        "values": values_of(record),
    }


def _row(record: Quarantined) -> list[Any]:
    told = as_dict(record)
    told["symbol"] = record.subject
    told["rules"] = "; ".join(finding["rule"] for finding in record.findings)
    told["messages"] = "; ".join(finding["message"] for finding in record.findings)
    return [told[name] for name in COLUMNS]


def _write(records: Iterator[Quarantined], stream: BinaryIO, form: Format) -> int:
    count = 0
    if form == "parquet":
        return _write_parquet(records, stream)
    if form == "csv":
        stream.write((",".join(COLUMNS) + "\n").encode())
    while page := list(itertools.islice(records, PAGE)):
        count += len(page)
        if form == "jsonl":
            stream.writelines((json.dumps(as_dict(each), ensure_ascii=False) + "\n").encode() for each in page)
        else:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(map(_row, page))
            stream.write(text.getvalue().encode())
    return count


def _write_parquet(records: Iterator[Quarantined], stream: BinaryIO) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    integers = {"id", "batch", "row", "changed_by"}
    schema = pa.schema([(name, pa.int64() if name in integers else pa.string()) for name in COLUMNS])
    count = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while page := list(itertools.islice(records, PAGE)):
            count += len(page)
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*map(_row, page), strict=True), schema, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return count

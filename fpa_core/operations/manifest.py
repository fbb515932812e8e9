"""The manifest of a backup: what is in it, and how to tell that it is still that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import attrs
from attrs import field, frozen

from fpa_core.engine.rows import shape_of
from fpa_core.engine.tables import Database, Reader
from fpa_core.exceptions import CorruptionError, DataError
from fpa_core.kinds import KINDS, Kind
from fpa_core.protocols import QuarantineQuery, Query, StoreDescription, Tick

__all__ = ["KindContents", "Manifest", "contents_of", "manifest_path", "read_manifest", "sha256_of"]

FORMAT = "fpa-backup/1"
_BLOCK = 1 << 20


@frozen
class KindContents:
    """How much of a kind there is: rows, hot and sealed ones, rows of the history, and a SHA-256 over all of them as they are stored."""

    rows: int
    history: int
    checksum: str


@frozen
class Manifest:
    """What is in a backup.

    :ivar format: the form of the manifest.
    :ivar database: the name of the file that was backed up.
    :ivar made_ns: when, in nanoseconds since 1970.
    :ivar program: the version of the program; ``engine`` the database's; ``schema`` that of its tables.
    :ivar bytes: the size of the backup, and ``sha256`` of its bytes.
    :ivar batches: how many batches there are, and ``last_batch`` the last of them; ``rejected`` how many rejected rows.
    :ivar kinds: what there is of each kind of record.
    :ivar audit_first: the hash of the first entry of the audit log, which no other log has; empty if there is none, as in a backup of before there
        were any. ``audit_seq`` is the number of the last entry, and ``audit_hash`` its hash.
    """

    database: str
    made_ns: int
    program: str
    engine: str
    schema: int
    bytes: int
    sha256: str
    batches: int
    last_batch: int
    rejected: int
    kinds: Mapping[str, KindContents] = field(factory=dict)
    audit_first: str = ""
    audit_seq: int = 0
    audit_hash: str = ""
    format: str = FORMAT

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(attrs.asdict(self), indent=2) + "\n"


def manifest_path(backup: Path) -> Path:
    """Return where the manifest of a backup is."""
    return backup.with_name(f"{backup.name}.json")


def read_manifest(backup: Path) -> Manifest:
    """Read the manifest of a backup.

    :raises DataError: if there is none: the backup was not finished, or is none.
    :raises CorruptionError: if it cannot be understood.
    """
    path = manifest_path(backup)
    try:
        values = json.loads(path.read_text("utf-8"))
        kinds = {name: KindContents(**contents) for name, contents in values.pop("kinds").items()}
        manifest = Manifest(**values, kinds=kinds)
    except OSError as error:
        raise DataError(
            f"{path}: the manifest of the backup cannot be read: {error.strerror or error}",
            hint="name the database file of a backup; its manifest, which ends in .json, lies beside it",
            source=str(path),
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CorruptionError(f"{path}: this is no manifest of a backup: {error}", path=str(path)) from error
    if manifest.format != FORMAT:
        raise DataError(
            f"{path}: the backup has the format {manifest.format!r}; this version reads {FORMAT!r}",
            hint="use the version of the program that made it",
            source=str(path),
        )
    return manifest


def contents_of(database: Database, name: str, made_ns: int, file: Path, tick: Tick) -> Manifest:
    """Return the manifest of a copy.

    :param name: the name of the file that was copied.
    :param database: the copy, opened; ``file`` its file.
    """
    described: StoreDescription = database.describe()
    with database.reader("describe a backup") as tables:
        count = sum(len(page) for page in tables.batches.scan())
        latest = tables.batches.find(limit=1, children=True)
        rejected = sum(count.records for count in tables.quarantine.count(QuarantineQuery()))
        kinds = {kind_name: _contents(tables, kind) for kind_name, kind in KINDS.items()}
        first = next((entry for page in tables.audit_log.scan(size=1) for entry in page), None)
        last = tables.audit_log.last()
    return Manifest(
        name,
        made_ns,
        _program(),
        described.engine,
        described.schema,
        file.stat().st_size,
        sha256_of(file, tick),
        count,
        latest[0].id if latest else 0,
        rejected,
        kinds,
        "" if first is None else first.hash,
        0 if last is None else last.seq,
        "" if last is None else last.hash,
    )


def _contents(tables: Reader, kind: Kind) -> KindContents:
    """Return what there is of a kind, by the checksums of its segments and by its rows."""
    digest, rows, history = hashlib.sha256(), 0, 0
    for info in tables.segments.find(Query(kind)) if kind.multiset else ():
        rows += info.rows
        digest.update(repr((info.subject, info.first_ns, info.last_ns, info.rows, info.checksum)).encode())
    for page in tables.rows.select(Query(kind), shape_of(kind).columns):
        rows += len(page)
        for row in page:
            digest.update(repr(row).encode())
    for page in tables.rows.history(Query(kind)):
        history += len(page)
        for row in page:
            digest.update(repr(row).encode())
    for retired in tables.retired.find(Query(kind)) if kind.multiset else ():
        history += retired.rows
        own = (retired.subject, retired.first_ns, retired.last_ns, retired.rows, retired.checksum)
        digest.update(repr((*own, retired.retired_by, retired.reason)).encode())
    return KindContents(rows, history, digest.hexdigest())


def sha256_of(path: Path, tick: Tick) -> str:
    """Return the SHA-256 of a file.

    :param tick: is told the bytes read, and all there are.
    """
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            tick(done, size)
    return digest.hexdigest()


def _program() -> str:
    try:
        return version("financial-portfolio-automation")
    except PackageNotFoundError:  # a copy of the sources that was never installed
        return "unknown"

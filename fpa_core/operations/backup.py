"""Backups: copies of a store that are checked as a whole before they count, each with a manifest."""

from __future__ import annotations

import contextlib
import glob
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import Database, unsupported
from fpa_core.exceptions import CorruptionError, DatabaseError, DataError, FpaError, SchemaError
from fpa_core.operations.check import CheckReport, check
from fpa_core.operations.manifest import Manifest, contents_of, manifest_path, read_manifest, sha256_of
from fpa_core.outputs import draft_of, private_folder, sync_folder, whole_file
from fpa_core.protocols import Capability, StoreFile, Tick

__all__ = ["Backup", "backups_in", "make_backup", "opened_copy", "require_sound", "verify_backup"]

SUFFIX = ".db"


@frozen
class Backup:
    """A backup: its file, what is in it, and the older ones that were removed for it."""

    path: Path
    manifest: Manifest
    removed: tuple[Path, ...] = ()


def make_backup(database: Database, file: StoreFile, target: Path, *, keep: int | None, tick: Tick) -> Backup:
    """Copy a store while others write to it, check the copy, and give it its name; then remove the oldest ones.

    :param target: the folder of the backups, or, with the ending ``.db``, the file to make.
    :param keep: how many backups of this database stay in the folder, the new one included; None for all.
    :raises DatabaseError: if the store cannot be copied, the target exists, or cannot be written.
    :raises CorruptionError: if the store is damaged; no backup is kept then.
    """
    if Capability.BACKUP not in database.capabilities:
        raise unsupported(database.describe().backend, Capability.BACKUP)
    made_ns = time.time_ns()
    try:
        path = _free_path(file.path, target, made_ns)
        named = target.suffix == SUFFIX
        left = f"{glob.escape(path.name)}*" if named else f"{glob.escape(file.path.stem)}-*{SUFFIX}*"
        with draft_of(path, left=left) as draft:
            database.copy_to(draft, tick)
            manifest = _described(file, draft, made_ns, tick)
            with whole_file(manifest_path(path)) as stream:
                stream.write(manifest.to_json().encode())
            # The database comes last: where it is, the backup is complete.
            draft.rename(path)
            sync_folder(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"{target}: the backup cannot be written: {error.strerror or error}",
            hint="free some space, or name another folder",
            path=str(target),
            operation="back up",
        ) from error
    removed = () if keep is None or named else tuple(_rotate(path, keep))
    return Backup(path, manifest, removed)


def _free_path(database: Path, target: Path, made_ns: int) -> Path:
    if target.suffix == SUFFIX:
        if target.exists():
            raise DatabaseError(
                f"{target} already exists", hint="name another file, or a folder", path=str(target), operation="back up"
            )
        private_folder(target.parent)
        return target
    private_folder(target)
    stem = f"{database.stem}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(made_ns // 10**9))}"
    # Names in the order of time, also within one second.
    return target / f"{stem}.{made_ns % 10**9:09d}Z{SUFFIX}"


def _described(file: StoreFile, draft: Path, made_ns: int, tick: Tick) -> Manifest:
    with opened_copy(file, draft) as copy:
        require_sound(draft, check(copy, now_ns=made_ns))
        return contents_of(copy, file.path.name, made_ns, draft, tick)


def require_sound(path: Path, report: CheckReport) -> None:
    """Check that a copy is sound.

    :raises CorruptionError: if errors were found in it.
    """
    if report.errors:
        first = report.errors[0]
        raise CorruptionError(
            f"{path}: {len(report.errors)} errors were found; the first: {first.where}: {first.problem}",
            hint="`fpa store check` lists all of them",
            path=str(path),
            operation="check a backup",
        )


@contextlib.contextmanager
def opened_copy(file: StoreFile, path: Path) -> Iterator[Database]:
    """Open a copy of a store for reading."""
    with contextlib.closing(file.open_copy(path)) as backend:
        assert isinstance(backend, EngineStore), "a store that is one file is an engine's"
        yield backend.database


def verify_backup(file: StoreFile, path: Path, tick: Tick) -> Backup:
    """Compare a backup with its manifest, and check it as a whole; one of an older schema is only compared, as it was checked when it was made.

    :raises DataError: if there is no such backup.
    :raises CorruptionError: if it is not what it was when it was made.
    :raises SchemaError: if a newer version of the program made it.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such backup", hint="`fpa store backups` lists them", source=str(path))
    manifest = read_manifest(path)
    if manifest.schema > file.schema:
        raise SchemaError(
            f"{path} was made by a newer version of this program: its schema is {manifest.schema}, the newest known here is {file.schema}",
            hint="upgrade financial-portfolio-automation",
            path=str(path),
            operation="verify a backup",
        )
    if (size := path.stat().st_size) != manifest.bytes:
        raise _changed(path, f"it has {size:,} bytes, and {manifest.bytes:,} by its manifest")
    if sha256_of(path, tick) != manifest.sha256:
        raise _changed(path, "its SHA-256 is not the one of its manifest")
    if manifest.schema < file.schema:
        return Backup(path, manifest)
    with opened_copy(file, path) as copy:
        require_sound(path, check(copy, now_ns=manifest.made_ns))
        found = contents_of(copy, manifest.database, manifest.made_ns, path, lambda _done, _all: None)
    if _held(found) != _held(manifest):
        raise _changed(path, "it does not hold what its manifest says")
    return Backup(path, manifest)


def _held(manifest: Manifest) -> tuple[object, ...]:
    log = manifest.audit_first, manifest.audit_seq, manifest.audit_hash
    return manifest.kinds, manifest.batches, manifest.rejected, log


def _changed(path: Path, how: str) -> CorruptionError:
    return CorruptionError(
        f"{path} is not what it was when it was made: {how}",
        hint="use another backup",
        path=str(path),
        operation="verify a backup",
    )


def backups_in(folder: Path, stem: str | None = None) -> list[Backup]:
    """Return the complete backups in a folder, the latest first.

    :param stem: only those of the database with this name, its ending aside; None for all.
    """
    found = []
    for manifest in folder.glob(f"*{SUFFIX}.json") if folder.is_dir() else ():
        path = manifest.with_name(manifest.name.removesuffix(".json"))
        # What cannot be read is left to `fpa store verify`, which says why.
        with contextlib.suppress(FpaError):
            if path.is_file():
                found.append(Backup(path, read_manifest(path)))
    own = [one for one in found if stem is None or Path(one.manifest.database).stem == stem]
    return sorted(own, key=lambda one: (one.manifest.made_ns, one.path.name), reverse=True)


def _rotate(latest: Path, keep: int) -> Iterator[Path]:
    """Remove the oldest backups of the same database, and return them; the latest one always stays."""
    stem = Path(read_manifest(latest).database).stem
    for old in backups_in(latest.parent, stem)[keep:]:
        if old.path != latest:
            old.path.unlink()  # what is left of it if this is where it ends is no backup any more
            manifest_path(old.path).unlink()
            yield old.path

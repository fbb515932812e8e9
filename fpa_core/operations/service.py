"""Operating a store: check, back up, restore, compact, migrate."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa_core.engine.anchor import AnchorFile
from fpa_core.engine.store import EngineStore
from fpa_core.engine.tables import unsupported
from fpa_core.exceptions import ConfigError, DatabaseBusyError, DatabaseError
from fpa_core.kinds import KINDS
from fpa_core.operations.audit_log import AnchorSources, AuditReport, verify_audit_log
from fpa_core.operations.backup import Backup, backups_in, make_backup, opened_copy, verify_backup
from fpa_core.operations.changes import Change, changes_of
from fpa_core.operations.check import CheckReport, check
from fpa_core.operations.comparison import Comparison, compare
from fpa_core.operations.copy import copy_store
from fpa_core.operations.encryption import decrypt, encrypt, rekey
from fpa_core.operations.repair import repair
from fpa_core.operations.restore import Restored, restore
from fpa_core.operations.retention import RetentionPlan, RetentionReport, plan_retention, retain
from fpa_core.operations.retention_bars import make_bars
from fpa_core.protocols import AuditEntry, Capability, MigrationPlan, Space, StoreBackend, StoreFile, Tick
from fpa_core.store import DataStore

if TYPE_CHECKING:
    from fpa_core.config import Config
    from fpa_core.plugins import PluginManager

__all__ = ["Operations"]


def silent(_done: int, _all: int) -> None:
    """Ignore the progress."""


class Operations:
    """What is done to a store as a whole.

    :param backend: opens the store, if it is not open yet (``is_open`` says so): plans and restores need none, and a check opens it for reading only.
    :param require: checks that there is a database, for what only reads: opening the store would make one.
    :param close: closes the store before another one takes its place; ``forget`` drops what a cache remembers of it.
    :param anchor: returns the anchor file of the audit log, if the store has one.
    :param clock: the present time in nanoseconds since 1970.
    """

    def __init__(
        self,
        config: Config,
        plugins: PluginManager,
        backend: Callable[[], StoreBackend],
        *,
        is_open: Callable[[], bool],
        require: Callable[[], None],
        close: Callable[[], None],
        forget: Callable[[], Any],
        anchor: Callable[[], AnchorFile | None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._config = config
        self._plugins = plugins
        self._backend = backend
        self._is_open = is_open
        self._require = require
        self._close = close
        self._forget = forget
        self._anchor = anchor
        self._clock = clock

    def check(self, *, repair: bool = False, tick: Tick = silent) -> CheckReport:
        """Check the whole store: pages, structure, schema, segments, rows, history, batches, quarantine, audit log and clock.

        :param repair: also mend what can be mended without loss.
        :raises DatabaseError: if the store cannot be opened at all.
        """
        if not repair and not self._is_open() and (file := self._file_if_any()) is not None:
            # If somebody begins to write meanwhile, it is opened as for any other use.
            with contextlib.suppress(DatabaseBusyError), opened_copy(file, file.path) as database:
                return check(database, anchors=self._anchors(), tick=tick)
        engine = self._engine()
        anchors = self._anchors() if Capability.PERSISTENT in engine.capabilities else None
        report = check(engine.database, anchors=anchors, tick=tick)
        if not repair or not report.problems:
            return report
        return _repair(engine.database, report, audit=engine.audit, anchors=anchors, aside=self._aside(engine))

    def _aside(self, engine: EngineStore) -> Path | None:
        """Return the folder for damaged segments: beside a store that is a file, and with the backups of one on a server."""
        if Capability.PERSISTENT not in engine.capabilities:
            return None
        file = self._file_if_any()
        if file is None:
            return self._config.backup.folder.expanduser().absolute() / "set-aside"
        return file.path.with_name(f"{file.path.name}.set-aside")

    def verify_audit_log(self) -> AuditReport:
        """Verify the audit log: that no entry was edited, deleted, reordered or cut off, and that the database is no old copy.

        :raises DatabaseError: if the store cannot be read.
        """
        engine = self._engine()
        anchors = self._anchors() if Capability.PERSISTENT in engine.capabilities else None
        return verify_audit_log(engine.database, anchors)

    def audit_log(self, first: int = 1) -> Iterator[AuditEntry]:
        """Yield the entries of the audit log, from the number *first* on."""
        return self._engine().audit_entries(first)

    def audited_changes(self, entry: AuditEntry) -> list[Change]:
        """Return the portfolio records that an entry's batch added, changed or removed, before and after, out of the history."""
        if entry.batch is None:
            return []
        with self._engine().database.reader("look for changes") as tables:
            return changes_of(tables, entry.batch)

    def _anchors(self) -> AnchorSources:
        return AnchorSources(
            self._anchor(),
            lambda: [(one.path, one.manifest) for one in self.backups()],
            required=self._config.audit.anchor is not None,
        )

    def backup(self, target: Path | str | None = None, *, keep: int | None = None, tick: Tick = silent) -> Backup:
        """Copy the store while others write to it, check the copy, and write its manifest.

        :param target: a folder, or a file that ends in ``.db``; None for the folder of ``[backup]``.
        :param keep: how many backups stay in the folder; None for what ``[backup]`` says.
        :raises DatabaseError: if the store offers no backup, or the target cannot be written.
        """
        section = self._config.backup
        folder = section.folder if target is None else Path(target).expanduser().absolute()
        engine = self._engine()
        if Capability.BACKUP not in engine.capabilities:
            raise unsupported(self._config.store.backend, Capability.BACKUP)
        made = make_backup(
            engine.database, self._file(), folder, keep=section.keep if keep is None else keep, tick=tick
        )
        manifest = made.manifest
        details = {
            "backup": made.path.name,
            "sha256": manifest.sha256,
            "seq": manifest.audit_seq,
            "hash": manifest.audit_hash,
        }
        self._record("backup", details | {"removed": [path.name for path in made.removed] or None})
        return made

    def copy(self, to: Operations, *, tick: Tick = silent) -> Comparison:
        """Copy all that the store holds to another one, and prove that both are equal; a copy that was interrupted goes on where it ended.

        :param to: the operations of the other store: ``data.operations.copy(other.operations)``.
        :raises ConfigError: if both would keep the end of their audit logs in one file.
        :raises DatabaseError: if the other store holds other data than copies of this one.
        :raises CorruptionError: if it is not equal in the end.
        """
        mine, theirs = self._anchor(), to._anchor()
        if mine is not None and theirs is not None and mine.path == theirs.path:
            raise ConfigError(
                f"[audit] anchor is {mine.path} for both stores, and each needs one of its own",
                hint="set anchor in the overlay of the other store, as in [env.NAME.audit]",
            )
        target = to._engine()
        try:
            return copy_store(self._engine().database, target.database, audit=target.audit, tick=tick)
        finally:
            to._forget()

    def diff(self, to: Operations, *, tick: Tick = silent) -> Comparison:
        """Compare all that the store holds with another one.

        :param to: the operations of the other store.
        :raises DatabaseError: if one of them does not exist.
        """
        self._require()
        to._require()
        return compare(self._engine().database, to._engine().database, tick)

    def retention_plan(self) -> RetentionPlan:
        """Return what is older than ``[retention]`` keeps it; nothing is changed."""
        self._require()
        return plan_retention(self._engine().database, self._config.retention, self._clock())

    def retain(self, *, tick: Tick = silent) -> RetentionReport:
        """Delete what is older than ``[retention]`` keeps it, after it was archived and the archive verified.

        :raises DatabaseError: if the store is opened for reading only, or others change old rows again and again.
        :raises DataError: if the archive cannot be written.
        :raises CorruptionError: if it does not hold what was written to it.
        """
        if self._config.read_only:
            raise DatabaseError("the store was opened for reading only", hint="leave out read_only", operation="retain")
        engine = self._engine()
        store = DataStore(engine)
        try:
            return retain(
                engine.database,
                self._config.retention,
                self._clock(),
                make_bars=lambda query, interval: make_bars(store, query, interval),
                audit=engine.audit,
                tick=tick,
            )
        finally:
            self._forget()

    def _record(self, action: str, details: Mapping[str, Any]) -> None:
        if not self._config.read_only:
            self._engine().record_act(action, details)

    def grant_plan(self, role: str, *, write: bool) -> list[str]:
        """Return the statements that :meth:`grant` would run; nothing is changed."""
        self._require()
        return list(self._with_roles().database.grants(role, write=write))

    def grant(self, role: str, *, write: bool) -> list[str]:
        """Grant a role of the database server the right to read the store, and to write to it if *write*, and no more; return the statements that were run.

        A role that does not exist is made, without a login: make logins that are members of it. Doing it again changes nothing.

        :raises DataError: if the name cannot be that of a role.
        :raises DatabaseError: if the store has no roles, this one's user may not grant, or the role could do more or less in the end; nothing
            is changed then.
        """
        statements = list(self._with_roles().database.grant(role, write=write))
        self._record("grant", {"role": role, "write": write})
        return statements

    def _with_roles(self) -> EngineStore:
        engine = self._engine()
        if Capability.ROLES not in engine.capabilities:
            raise DatabaseError(
                f"the store {self._config.store.backend!r} has no roles",
                hint="who may read or write a file is up to its permissions and those of its folder; `read_only = true` in [store] opens it without writing",
                operation="grant",
            )
        return engine

    def backups(self, folder: Path | str | None = None) -> list[Backup]:
        """Return the complete backups in a folder, the latest first; None for the folder of ``[backup]``."""
        return backups_in(self._config.backup.folder if folder is None else Path(folder))

    def verify(self, backup: Path | str, *, tick: Tick = silent) -> Backup:
        """Compare a backup with its manifest, and check it as a whole.

        :raises DataError: if there is no such backup.
        :raises CorruptionError: if it is not what it was when it was made.
        """
        return verify_backup(self._file(), Path(backup).expanduser().absolute(), tick)

    def restore(self, backup: Path | str, *, replace: bool = False, tick: Tick = silent) -> Restored:
        """Verify a backup and put a copy of it in the place of the store.

        :param replace: whether a store that is there may be replaced; it is kept beside the new one.
        :raises DatabaseError: if a store is there and may not be replaced, or another program has it open.
        """
        self._close()
        restored = restore(
            self._file(), Path(backup).expanduser().absolute(), replace=replace, tick=tick, anchor=self._anchor()
        )
        self._forget()
        return restored

    def compact(self, *, accept_pages: bool = False) -> tuple[Space, Space]:
        """Seal what can be sealed of the history, give back the space that nothing uses, and return the sizes before and after.

        :param accept_pages: first take pages as they are that do not match their checksums, if the structure of the file is sound: for a file that
            another program, such as the sqlite3 shell, wrote to. What it changed, or what was damaged, cannot be told from what was stored.
        :raises CorruptionError: if the structure is damaged.
        :raises DatabaseError: if the store does not offer it, or there is no space for the second copy that it takes.
        """
        accepted = 0
        if accept_pages:
            self._close()
            accepted = self._file().accept_pages()
        engine = self._engine()
        if Capability.COMPACT not in engine.capabilities:
            raise unsupported(self._config.store.backend, Capability.COMPACT)
        if accepted:
            self._record("accept pages", {"pages": accepted})
        before = engine.database.space()
        for kind in KINDS.values():
            engine.seal_history(kind)
        engine.database.compact()
        after = engine.database.space()
        self._record("compact", {"before": before.bytes, "after": after.bytes})
        return before, after

    def encrypt(self, *, tick: Tick = silent) -> None:
        """Encrypt the store with the configured key.

        :raises DatabaseError: if there is no key or no store, it is encrypted already, or another program has it open.
        """
        self._close()
        self._note(encrypt(self._file(), tick=tick))

    def decrypt(self, *, tick: Tick = silent) -> None:
        """Write the store without encryption; take the key out of the configuration afterwards.

        :raises DatabaseError: if it is not encrypted, or another program has it open.
        """
        self._close()
        self._note(decrypt(self._file(), tick=tick))

    def rekey(self, key_file: Path | str, *, tick: Tick = silent) -> None:
        """Encrypt the store with another key; configure it afterwards.

        :raises DatabaseError: if it is not encrypted, or another program has it open.
        """
        self._close()
        self._note(rekey(self._file(), Path(key_file).expanduser().absolute(), tick=tick))

    def _note(self, entry: AuditEntry) -> None:
        if (anchor := self._anchor()) is not None:
            anchor.note(entry)

    def plan(self) -> MigrationPlan:
        """Return what opening the store will do to its schema; nothing is changed.

        :raises SchemaError: if this version cannot open it.
        """
        return self._file().plan()

    def migrate(self) -> MigrationPlan | None:
        """Bring the schema up to date, under a backup if the store is a file, as opening it does, and make one if there is none.

        Return what was to be done; None for a store on a server.
        """
        plan = None if self._file_if_any() is None else self.plan()
        self._backend()
        return plan

    def _engine(self) -> EngineStore:
        backend = self._backend()
        if not isinstance(backend, EngineStore):
            raise DatabaseError(
                f"the store {self._config.store.backend!r} does not use the engine, which all of this is for",
                hint="use its own tools",
                operation="operate",
            )
        return backend

    def _file(self) -> StoreFile:
        file = self._file_if_any()
        if file is None:
            raise DatabaseError(
                f"the store {self._config.store.backend!r} is not a file, so there is nothing to back up, restore or plan here",
                hint="use the tools of its server, such as pg_dump and pg_restore",
                operation="operate",
            )
        return file

    def _file_if_any(self) -> StoreFile | None:
        make = self._plugins.stores.require(self._config.store.backend).file
        return None if make is None else make(self._config.store.options)


_repair = repair

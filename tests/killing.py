"""Operations on a store, killed at each of their steps: what is left must be the store as it was, or as it was to be, or a copy that goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from full_store import fill, read_all
from pyarrow import parquet

from fpa_core import open as open_layer
from fpa_core.arrow.conversion import from_table
from fpa_core.engine.anchor import SUFFIX
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_plugins.sqlite.copying import verified_copy
from fpa_plugins.sqlite.encryption import is_encrypted
from fpa_plugins.sqlite.migrations import known_migrations, migrate
from fpa_plugins.sqlite.pages import open_file

__all__ = ["OPERATIONS", "Killing"]

OPERATIONS = ("backup", "restore", "migrate", "compact", "encrypt", "copy", "retain")

KEY = "sixteen characters"

_PROGRAM = """
import os, signal, sys
import fpa_core
from fpa_core.operations import Operations

operation, backup, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
STEPS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate", "shutil.copyfile"}
count = None

def step():
    global count
    if count is None:
        return
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)

def hear(event, arguments):
    # What is read of the program itself is no step of the operation.
    if event in STEPS and not str(arguments[0]).endswith((".py", ".pyc", ".so", ".sql")):
        step()

with fpa_core.open(lazy=True) as data:
    operations = data.operations
    if operation not in {"migrate", "encrypt"}:
        data.store
    sys.addaudithook(hear)
    count = 0
    if operation == "backup":
        operations.backup(keep=1, tick=lambda done, whole: step())
    elif operation == "restore":
        operations.restore(backup, replace=True, tick=lambda done, whole: step())
    elif operation == "migrate":
        operations.migrate()
    elif operation == "encrypt":
        operations.encrypt(tick=lambda done, whole: step())
    elif operation == "copy":
        with fpa_core.open(store__path=os.environ["FPA_STORE__PATH"] + ".copy.db") as other:
            other.store.backend.database._pool._writer.set_progress_handler(lambda: bool(step()), 500)
            operations.copy(other.operations, tick=lambda done, whole: step())
    elif operation == "retain":
        data.store.backend.database._pool._writer.set_progress_handler(lambda: bool(step()), 500)
        operations.retain(tick=lambda done, whole: step())
    else:
        data.store.backend.database._pool._writer.set_progress_handler(lambda: bool(step()), 500)
        operations.compact()
    step()
    count = None
print("done")
"""


def anchor_beside(path: Path) -> Path:
    """Return the anchor file of a store."""
    return path.with_name(path.name + SUFFIX)


class Killing:
    """A store, and what is done to copies of it."""

    def __init__(self, operation: str, folder: Path) -> None:
        self.operation = operation
        self.folder = folder
        self.backup = folder / "old.db"
        self.template = folder / "template.db"
        if operation == "migrate":
            connection = open_file(str(self.template), 6)
            migrate(connection, self.template, known_migrations()[:3])
            connection.execute("INSERT INTO batches (id, source, recorded_ns, inserted) VALUES (1, 'a', 1, 1)")
            connection.execute("INSERT INTO bars VALUES ('A', 5, '1', '1', '1', '1', '5', '60m', NULL, NULL, 1)")
            connection.close()
            return
        with self.layer(self.template) as data:
            fill(data.store)
            self.before = read_all(data.store)
            data.operations.backup(self.backup)
            data.store.save(Quote("LATER", Instant(1), 1, 2))
            self.after = read_all(data.store)

    def layer(self, path: Path) -> DataLayer:
        """Open a store whose backups go beside it."""
        return open_layer(environ=self.environ(path), lazy=True)

    @staticmethod
    def environ(path: Path) -> dict[str, str]:
        keep = {f"FPA_RETENTION__{kind}__KEEP": "30d" for kind in ("QUOTES", "TRADES", "BARS")}
        own = {
            "FPA_RETENTION__ARCHIVE": str(path.parent / "archive"),
            "FPA_BACKUP__FOLDER": str(path.parent / "backups"),
        }
        return {"FPA_STORE__PATH": str(path), **own, **keep}

    def run(self, step: int) -> bool:
        """Kill the operation at one of its steps and look at what is left; return whether it ended before."""
        place = self.folder / f"step{step}"
        place.mkdir()
        path = place / "test.db"
        shutil.copyfile(self.template, path)
        if (anchor := anchor_beside(self.template)).exists():
            shutil.copyfile(anchor, anchor_beside(path))
        if self.operation == "backup":
            with self.layer(path) as data:
                data.operations.backup()
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM, self.operation, str(self.backup), str(step)],
            env=os.environ | self.environ(path) | ({"FPA_STORE__KEY": KEY} if self.operation == "encrypt" else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
        getattr(self, f"_look_at_{self.operation}")(path)
        shutil.rmtree(place)
        return ended.returncode == 0

    def _sound(self, path: Path) -> dict[str, Any]:
        """Return what a store answers that opens at once and is sound."""
        with self.layer(path) as data:
            answers = read_all(data.store)
            assert () == data.check().problems
        return answers

    def _look_at_backup(self, path: Path) -> None:
        assert self.after == self._sound(path)
        with self.layer(path) as data:
            found = data.operations.backups()
            assert found, "the backup of before is gone, and there is no other"
            for one in found:
                data.operations.verify(one.path)
            data.operations.backup(keep=1)
            (last,) = data.operations.backups()
            files = {each.name for each in last.path.parent.iterdir()}
            manifests = {name for name in files if name.endswith(".json") and name.removesuffix(".json") not in files}
            assert {last.path.name, f"{last.path.name}.json"} == files - manifests

    def _look_at_restore(self, path: Path) -> None:
        assert self._sound(path) in (self.before, self.after)
        with self.layer(path) as data:
            data.operations.restore(self.backup, replace=True)
            assert self.before == read_all(data.store)
        assert not list(path.parent.glob(".*.part"))

    def _look_at_migrate(self, path: Path) -> None:
        with self.layer(path) as data:
            assert ["1h"] == [bar.interval for bar in data.store.get_bars()]
            assert () == data.check().problems
        assert not list(path.parent.glob("*.part"))
        for number, backup in enumerate(path.parent.glob("*.bak")):
            verified_copy(backup, path.parent / f"copy{number}")

    def _look_at_encrypt(self, path: Path) -> None:
        key = {"FPA_STORE__KEY": KEY}
        with open_layer(environ=self.environ(path) | key, lazy=True) as data:
            if not is_encrypted(path):
                data.operations.encrypt()
            assert self.after == read_all(data.store)
            assert () == data.check().problems
        assert {path, anchor_beside(path)} == {each for each in path.parent.iterdir() if each.is_file()}

    def _look_at_compact(self, path: Path) -> None:
        assert self.after == self._sound(path)
        with self.layer(path) as data:
            data.operations.compact()
        assert self.after == self._sound(path)

    def _look_at_copy(self, path: Path) -> None:
        assert self.after == self._sound(path)
        copied = path.with_name(path.name + ".copy.db")
        with self.layer(path) as data, self.layer(copied) as other:
            assert data.operations.copy(other.operations).equal
        assert self.after == self._sound(copied)

    def _look_at_retain(self, path: Path) -> None:
        kinds = ("quotes", "trades", "bars")
        left = self._sound(path)
        for name in kinds:
            gone = Counter(self.after[name]) - Counter(left[name])
            assert not gone - self._archived(path, name)
        assert {name: left[name] for name in KINDS if name not in kinds} == {
            name: self.after[name] for name in KINDS if name not in kinds
        }
        with self.layer(path) as data:
            data.operations.retain()
        left = self._sound(path)
        for name in kinds:
            assert [] == left[name]
            assert not Counter(self.after[name]) - self._archived(path, name)

    @staticmethod
    def _archived(path: Path, kind: str) -> Counter[Any]:
        files = (path.parent / "archive" / kind).rglob("*[0-9a-f].parquet")
        tables = [parquet.read_table(file) for file in files if not file.name.endswith(".history.parquet")]
        return Counter(record for table in tables for record in from_table(KINDS[kind], table))

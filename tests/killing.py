"""What is done to a store, killed at each of its steps: what is left must be the store as it was, or as it was to be, or something that goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from disks import Disk, Event
from full_store import fill, read_all
from pyarrow import parquet
from sqlite_schemas import migrate

import fpa_core
from fpa_core import open as open_layer
from fpa_core.arrow.conversion import from_table
from fpa_core.engine.anchor import SUFFIX
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_plugins.sqlite.files.copying import verified_copy
from fpa_plugins.sqlite.files.encryption import is_encrypted
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import known_migrations

__all__ = ["OPERATIONS", "Killed", "kill"]

OPERATIONS = (
    "ingest",
    "stream",
    "undo",
    "seal",
    "backup",
    "restore",
    "migrate",
    "compact",
    "retain",
    "encrypt",
    "rekey",
    "copy",
)

KEY, OTHER_KEY = "sixteen characters", "another sixteen characters"
ENCRYPTING = ("encrypt", "rekey")

UNWATCHED = (*ENCRYPTING, "migrate")
"""Not watched through a disk of ours: SQLite has its ciphers on the lowest layer only, and backups that may only be read cannot be locked through it."""

STREAMED = [Quote("STREAM", Instant(10**18 + place), 1, 2) for place in range(24)]
ROWS = 3_000
OPCODES = 100
"""What the writing connection does from one step to the next."""

_STEPS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate", "shutil.copyfile"}


class Killed(NamedTuple):
    """What came of many kills.

    :ivar kills: how often the operation was killed; ``steps`` how many steps it has.
    """

    kills: int
    steps: int


def kill(operation: str, folder: Path, times: int) -> Killed:
    """Kill an operation at steps that are evenly apart, each time on a copy of one store, and look at what is left.

    :raises AssertionError: if it is not right.
    """
    done = subprocess.run(
        [sys.executable, __file__, operation, str(folder), str(times)],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Killed(*json.loads(done.stdout))


class _Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self) -> None:
        self._last: int | None = None
        self.count = 0

    def begin(self, last: int) -> None:
        self._last = last
        sys.addaudithook(self._hear)

    def end(self) -> None:
        self._last = None

    def step(self, *_: object) -> bool:
        """Take a step."""
        if self._last is not None:
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
        return False

    def of_disk(self, event: Event) -> None:
        """Take a step for what changes a file."""
        if event.what in {"write", "sync", "truncate", "delete"}:
            self.step()

    def _hear(self, event: str, arguments: Any) -> None:
        # What is read of the program itself is no step of the operation.
        if event in _STEPS and not str(arguments[0]).endswith((".py", ".pyc", ".so", ".sql")):
            self.step()


def _ingest(data: DataLayer, steps: _Steps, killing: Killing, told: Callable[[int], None]) -> None:
    del steps
    told(data.ingest(killing.file).inserted)


def _stream(data: DataLayer, steps: _Steps, killing: Killing, told: Callable[[int], None]) -> None:
    del steps, killing
    with data.store.stream(max_rows=4, max_delay=0) as stream:
        for place, row in enumerate(STREAMED):
            stream.write(row).result(60)
            told(place + 1)


def _copy(data: DataLayer, steps: _Steps, killing: Killing, told: Callable[[int], None]) -> None:
    del killing, told
    with fpa_core.open(store__path=os.environ["FPA_STORE__PATH"] + ".copy.db") as other:
        data.operations.copy(other.operations, tick=steps.step)


def _rekey(data: DataLayer, steps: _Steps, killing: Killing, told: Callable[[int], None]) -> None:
    del steps, told
    data.operations.rekey(killing.other_key)


_DONE: dict[str, Callable[[DataLayer, _Steps, Killing, Callable[[int], None]], object]] = {
    "ingest": _ingest,
    "stream": _stream,
    "copy": _copy,
    "rekey": _rekey,
    "undo": lambda data, *_: data.store.undo(data.store.undo(1).batch),
    "seal": lambda data, *_: data.store.seal(),
    "backup": lambda data, steps, *_: data.operations.backup(keep=1, tick=steps.step),
    "restore": lambda data, steps, killing, _: data.operations.restore(killing.backup, replace=True, tick=steps.step),
    "migrate": lambda data, *_: data.operations.migrate(),
    "compact": lambda data, *_: data.operations.compact(),
    "retain": lambda data, steps, *_: data.operations.retain(tick=steps.step),
    "encrypt": lambda data, steps, *_: data.operations.encrypt(tick=steps.step),
}


def anchor_beside(path: Path) -> Path:
    """Return the anchor file of a store."""
    return path.with_name(path.name + SUFFIX)


class Killing:
    """A store, and what is done to copies of it.

    :ivar steps: those of this process, and of those that it forks.
    """

    def __init__(self, operation: str, folder: Path, steps: _Steps) -> None:
        self.operation = operation
        self.folder = folder
        self.steps = steps
        self.backup = folder / "old.db"
        self.template = folder / "template.db"
        self.file = folder / "more.csv"
        self.other_key = folder / "other.key"
        self.other_key.write_text(OTHER_KEY)
        self.other_key.chmod(0o600)
        if operation == "migrate":
            connection = open_file(str(self.template), 6)
            migrate(connection, self.template, known_migrations()[:3])
            connection.execute("INSERT INTO batches (id, source, recorded_ns, inserted) VALUES (1, 'a', 1, 1)")
            connection.execute("INSERT INTO bars VALUES ('A', 5, '1', '1', '1', '1', '5', '60m', NULL, NULL, 1)")
            connection.close()
            return
        if operation == "rekey":
            os.environ["FPA_STORE__KEY"] = KEY
        with self.layer(self.template) as data:
            fill(data.store)
            self.before = read_all(data.store)
            data.operations.backup(self.backup)
            data.store.save(Quote("LATER", Instant(1), 1, 2))
            self.after = read_all(data.store)
        lines = [f"MORE,2024-05-01T14:30:00.{place:06}Z,10,1" for place in range(ROWS)]
        self.file.write_text("\n".join(["symbol,timestamp,price,size", *lines]) + "\n")

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

    def run(self, step: int) -> int | None:
        """Kill the operation at one of its steps and look at what is left; return how many it has if it ended before."""
        place = self.folder / f"step{step}"
        place.mkdir()
        path = place / "test.db"
        shutil.copyfile(self.template, path)
        if (anchor := anchor_beside(self.template)).exists():
            shutil.copyfile(anchor, anchor_beside(path))
        if self.operation == "backup":
            with self.layer(path) as data:
                data.operations.backup()
        receiving, sending = os.pipe()
        if (child := os.fork()) == 0:
            self._act(path, step, sending)
        os.close(sending)
        with os.fdopen(receiving) as pipe:
            told = [json.loads(line) for line in pipe if line.endswith("\n")]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in {0, -signal.SIGKILL}, f"{self.operation}, step {step}: the process ended with {code}"
        acknowledged = max((number for what, number in told if what == "acknowledged"), default=0)
        try:
            getattr(self, f"_look_at_{self.operation}")(
                path, *([acknowledged] if self.operation in {"ingest", "stream"} else [])
            )
        except BaseException as error:
            error.add_note(f"{self.operation}, killed at step {step}")
            raise
        shutil.rmtree(place)
        return next((number for what, number in told if what == "steps"), None)

    def _act(self, path: Path, last: int, sending: int) -> None:
        """Do it in this process, a forked one, which is killed at a step; tell what was acknowledged."""
        status = 1
        try:
            with os.fdopen(sending, "w") as pipe:

                def tell(what: str, number: int) -> None:
                    pipe.write(json.dumps([what, number]) + "\n")
                    pipe.flush()

                more = {"FPA_STORE__KEY": KEY} if self.operation in ENCRYPTING else {}
                os.environ.update(self.environ(path) | more)
                with fpa_core.open(lazy=True) as data:
                    if self.operation not in {"migrate", *ENCRYPTING}:
                        writer = data.store.backend.database._pool._writer  # type: ignore[attr-defined]
                        writer.set_progress_handler(self.steps.step, OPCODES)
                    self.steps.begin(last)
                    _DONE[self.operation](data, self.steps, self, lambda number: tell("acknowledged", number))
                    self.steps.step()
                    self.steps.end()
                    tell("steps", self.steps.count)
            status = 0
        finally:
            os._exit(status)

    def _sound(self, path: Path) -> dict[str, Any]:
        """Return what a store answers that opens at once and is sound."""
        with self.layer(path) as data:
            answers = read_all(data.store)
            assert () == data.check().problems
        return answers

    def _look_at_ingest(self, path: Path, acknowledged: int) -> None:
        found = self._sound(path)
        rows = Counter(one.symbol for one in found["trades"])["MORE"]
        assert rows in ({ROWS} if acknowledged else {0, ROWS})
        assert [one for one in found["trades"] if one.symbol != "MORE"] == self.after["trades"]
        with self.layer(path) as data:
            assert ROWS - rows == data.ingest(self.file).inserted

    def _look_at_stream(self, path: Path, acknowledged: int) -> None:
        found = [one for one in self._sound(path)["quotes"] if one.symbol == "STREAM"]
        assert STREAMED[: len(found)] == found
        assert acknowledged <= len(found)

    def _look_at_undo(self, path: Path) -> None:
        found = self._sound(path)
        acts = len(found["batches"]) - len(self.after["batches"])
        assert found["trades"] == ([] if acts == 1 else self.after["trades"])
        with self.layer(path) as data:
            data.store.undo(found["batches"][0].id if acts else 1)
        assert self._sound(path)["trades"] == (self.after["trades"] if acts == 1 else [])

    def _look_at_seal(self, path: Path) -> None:
        assert self.after == self._sound(path)
        with self.layer(path) as data:
            data.store.seal()
        assert self.after == self._sound(path)

    def _look_at_rekey(self, path: Path) -> None:
        keys = [self._opens(path, key) for key in (KEY, OTHER_KEY)]
        assert 1 == sum(keys), "one of the two keys opens it"
        with self._keyed(KEY if keys[0] else OTHER_KEY):
            assert self.after == self._sound(path)
            if keys[0]:
                with self.layer(path) as data:
                    data.operations.rekey(self.other_key)
        assert self._opens(path, OTHER_KEY)
        assert {path, anchor_beside(path)} == {each for each in path.parent.iterdir() if each.is_file()}

    def _opens(self, path: Path, key: str) -> bool:
        with self._keyed(key):
            try:
                with self.layer(path) as data:
                    return bool(data.store.batches())
            except DatabaseError:
                return False

    @staticmethod
    @contextlib.contextmanager
    def _keyed(key: str) -> Iterator[None]:
        os.environ["FPA_STORE__KEY"] = key
        yield
        os.environ["FPA_STORE__KEY"] = KEY

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
            left = files - manifests - {last.path.name, f"{last.path.name}.json"}
            assert not left, left

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


def _main(operation: str, folder: Path, times: int) -> Killed:
    steps = _Steps()
    disk = None if operation in UNWATCHED else Disk(steps.of_disk)
    killing = Killing(operation, folder, steps)
    total = killing.run(10**9)
    assert total is not None
    some = sorted({1 + place * (total - 1) // max(times - 1, 1) for place in range(times)})
    kills = sum(
        killing.run(step) is None for step in some
    )  # the last ones may lie after its end: steps differ a little
    del disk
    return Killed(kills, total)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))

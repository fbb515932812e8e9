"""Power cuts: a store is written while all that is done to its disk is recorded; then the power is cut at any moment of the record."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from disks import Event, after_a_power_cut
from full_store import fill_file, read_all

import fpa_core
from fpa_core.engine.anchor import SUFFIX
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.protocols import Quarantined

__all__ = ["Cut", "Record", "cut_at", "open_store_at", "record"]


class Record(NamedTuple):
    """What was done to the disk while a store was written.

    :ivar before: the files before the first event, by their names.
    :ivar states: digests of all that the store answered after each acknowledgement; the first is that of the beginning.
    """

    before: dict[str, bytes]
    events: list[Event]
    states: list[str]


class Cut(NamedTuple):
    """What was left after a cut.

    :ivar acknowledged: the number of writes acknowledged before; ``kept`` how many of all are there.
    """

    acknowledged: int
    kept: int


def record(folder: Path, seed: int, *, synchronous: str = "full", checkpoint: int = 1_000, writes: int = 40) -> Record:
    """Write to a store in a process of its own, and return the record.

    :param checkpoint: pages of the write-ahead log after which they go to the file.
    """
    folder.mkdir()
    path = fill_file(folder / "test.db")
    (folder / f"test.db{SUFFIX}").unlink(missing_ok=True)
    before = {path.name: path.read_bytes()}
    arguments = [str(path), str(seed), synchronous, str(checkpoint), str(writes)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr.decode()
    events, states = pickle.loads((folder / "record").read_bytes())  # written by this module
    return Record(before, events, states)


def open_store_at(path: Path, synchronous: str = "full") -> DataLayer:
    """Open the store of a test."""
    environ = {"FPA_STORE__PATH": str(path), "FPA_STORE__SYNCHRONOUS": synchronous, "FPA_VALIDATOR__LEVEL": "off"}
    return fpa_core.open(environ=environ)


def cut_at(made: Record, place: int, chance: random.Random, folder: Path) -> Cut:
    """Cut the power before the event at *place*, open what is left, and check that it is one of the states, as a whole."""
    folder.mkdir()
    for name, content in after_a_power_cut(made.before, made.events[:place], chance).items():
        if content is not None:
            (folder / name).write_bytes(content)
    acknowledged = sum(event.what == "acknowledged" for event in made.events[:place])
    with open_store_at(folder / "test.db") as data:
        state = state_of(data)
        assert state in made.states, f"cut at event {place}: the store holds what it never held"
        problems = data.check().errors  # the anchor, which is no file of SQLite, is left out
        assert () == problems, problems
        data.store.save(Quote("AFTER", Instant(1), 1, 2))
    return Cut(acknowledged, max(number for number, one in enumerate(made.states) if one == state))


def state_of(data: DataLayer) -> str:
    """Return a digest of the rows and rejected records of a store. Its batches are left out: a stream begins with an empty one."""
    found = {name: what for name, what in read_all(data.store).items() if name != "batches"}
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def _write(data: DataLayer, chance: random.Random, number: int) -> None:
    """Do one thing that is acknowledged when it returns."""
    store = data.store
    what = chance.choice(["quotes", "quotes", "bars", "stream", "stream", "undo", "delete", "reject", "seal", "many"])
    at = 10**18 + number * 10**9
    if what == "quotes":
        store.save(
            [Quote(f"Q{chance.randrange(4)}", Instant(at + i), 10 + i, 99) for i in range(chance.randrange(1, 60))]
        )
    elif what == "bars":
        store.save([Bar("B", Instant(10**18 + i * 60 * 10**9), 1, 3, 1, 2, number, "1m") for i in range(20)])
    elif what == "stream":
        with store.stream(origin="live", max_rows=4, max_delay=0) as stream:
            stream.write(Quote("LIVE", Instant(at), 10, 99)).result(60)
    elif what == "undo":
        last = next((one for one in store.batches() if one.undone_by is None and one.undoes is None), None)
        if last is not None:
            store.undo(last.id)
    elif what == "delete":
        store.delete(store.select(Quote, f"Q{chance.randrange(4)}"))
    elif what == "reject":
        with store.batch() as batch:
            batch.quarantine([Quarantined("bars", "A", at, number, f"row {number}", ())])
    elif what == "seal":
        store.seal()
    else:
        store.save([Quote("MANY", Instant(at + i), 10 + i % 9, 99) for i in range(3_000)])


def _main(path: str, seed: str, synchronous: str, checkpoint: str, writes: str) -> None:
    """Write to the store at *path*, and put the record beside it."""
    from disks import Disk

    events: list[Event] = []

    def hear(event: Event) -> None:
        if event.what in {"write", "truncate", "sync", "delete"} and Path(event.name).name.startswith("test.db"):
            events.append(event._replace(name=Path(event.name).name))

    disk = Disk(hear)
    chance = random.Random(int(seed))  # to be repeated
    with open_store_at(Path(path), synchronous) as data:
        states = [state_of(data)]
        data.store.backend.database._pool._writer.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")  # type: ignore[attr-defined]
        for number in range(int(writes)):
            _write(data, chance, number)
            events.append(Event("acknowledged", at=number))
            states.append(state_of(data))
    del disk
    Path(path).with_name("record").write_bytes(pickle.dumps((events, states)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""A disk for SQLite that tells what is done to it: to cut its power at any moment, or to let it fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import apsw

__all__ = ["Disk", "Event", "after_a_power_cut"]

SECTOR = 512
"""What a disk writes as a whole, or not at all."""


class Event(NamedTuple):
    """What was done to a file, or that something was acknowledged.

    :ivar what: ``write``, ``truncate``, ``sync``, ``delete``, ``read``, ``open`` or ``acknowledged``.
    :ivar at: where in the file; the new size of a truncation; the number of an acknowledgement.
    """

    what: str
    name: str = ""
    at: int = 0
    data: bytes = b""


class Disk(apsw.VFS):
    """A layer under every database that this process opens from now on; *hear* is called before each event, and may raise an error of apsw."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self.hear = hear
        self._below = apsw.vfs_names()[0]
        super().__init__("disk of a test", base=self._below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # the name of apsw
        self.hear(Event("open", _name_of(name)))
        return _File(self, self._below, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  # the name of apsw
        self.hear(Event("delete", filename))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, below: str, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = _name_of(name)
        super().__init__(below, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  # the name of apsw
        self._disk.hear(Event("read", self._name, offset))
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # the name of apsw
        self._disk.hear(Event("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  # the name of apsw
        self._disk.hear(Event("truncate", self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  # the name of apsw
        self._disk.hear(Event("sync", self._name))
        super().xSync(flags)


def _name_of(name: Any) -> str:
    return str(name.filename() if isinstance(name, apsw.URIFilename) else name or "")


def after_a_power_cut(
    before: Mapping[str, bytes], events: Sequence[Event], chance: random.Random
) -> dict[str, bytes | None]:
    """Return what is in the files after the power went off: all that was synced, and of the rest what chance leaves.

    Of writes that were not synced none, some or all are there, in any order, and of some only the first sectors. None is a file that is gone.

    :param before: the files as they were before the events.
    """
    files: dict[str, bytearray | None] = {name: bytearray(content) for name, content in before.items()}
    pending: dict[str, list[Event]] = {}
    for event in events:
        if event.what in {"write", "truncate", "delete"}:
            pending.setdefault(event.name, []).append(event)
        elif event.what == "sync":
            for one in pending.pop(event.name, ()):
                files[event.name] = _done(files.get(event.name), one)
    kept, torn, shuffled = chance.choice([0.0, 0.5, 0.9, 1.0]), chance.choice([0.0, 0.3]), chance.random() < 0.5
    for name, unsynced in pending.items():
        if shuffled:
            chance.shuffle(unsynced)
        for one in unsynced:
            if chance.random() < kept:
                sectors = chance.randrange(len(one.data) // SECTOR + 1) if chance.random() < torn else None
                cut = one if sectors is None else one._replace(data=one.data[: sectors * SECTOR])
                files[name] = _done(files.get(name), cut)
    return {name: None if content is None else bytes(content) for name, content in files.items()}


def _done(content: bytearray | None, event: Event) -> bytearray | None:
    """Return the content of a file after an event; None for one that is not there."""
    if event.what == "delete":
        return None
    content = bytearray() if content is None else content
    if event.what == "truncate":
        del content[event.at :]
        content.extend(bytes(event.at - len(content)))
        return content
    content.extend(bytes(max(event.at - len(content), 0)))
    content[event.at : event.at + len(event.data)] = event.data
    return content

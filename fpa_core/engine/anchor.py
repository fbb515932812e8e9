"""The anchor of the audit log: what its end was, kept outside the database.

A chain of hashes shows every change inside it, but not that its end is missing, or that somebody computed all of it anew. So the number and the hash of
each entry are added to a file beside the database, or elsewhere, as soon as the entry is committed; each backup's manifest is an anchor as well.
A line that cannot be written is a warning and no error: the change it tells of is made, and the next line covers it.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import time
from pathlib import Path

from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_core.outputs import append_to, private_folder, whole_file
from fpa_core.protocols import AuditEntry, Problem, Severity

__all__ = ["SUFFIX", "Anchor", "AnchorFile"]

SUFFIX = ".anchor"
"""What follows the name of the database in that of its anchor file."""

THIN_ABOVE = 2**20
"""Bytes above which older lines are thinned out: the file stays small, and says precisely what came last."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
_log = logging.getLogger("fpa.store")


@frozen
class Anchor:
    """What the end of the log was at some time.

    :ivar seq: the number of the last entry, 0 if there was none; ``hash`` its hash.
    :ivar where: the file and line, or the manifest.
    :ivar restored: whether a backup with this end was put in the place of the store: what came after it before counts no longer.
    """

    seq: int
    hash: str
    ts_ns: int
    where: str
    restored: bool = False


class AnchorFile:
    """An anchor file; nobody but its owner may read it.

    :param key: signs each line by HMAC-SHA-256, so that nobody without the key can write one; empty for no signature.
    """

    def __init__(self, path: Path, key: str = "") -> None:
        self.path = path
        self._key = key.encode()
        self._thin_above = THIN_ABOVE
        self._warned = False

    def note(self, entry: AuditEntry) -> None:
        """Add the entry that is the end of the log now."""
        self._note(entry.seq, entry.hash)

    def begin(self, last: AuditEntry | None) -> None:
        """Make the file, with the present end of the log, if it is not there."""
        if last is not None and not self.path.exists():
            self.note(last)

    def lines(self) -> bytes:
        """Return what is in the file; nothing if it is not there."""
        return self.path.read_bytes() if self.path.exists() else b""

    def restore(self, seq: int, hash_: str) -> None:
        """Note that a backup, of which this is the end of the log, is about to take the place of the store.

        :raises OSError: if it cannot be written.
        """
        self._write(seq, hash_, restored=True)

    def _note(self, seq: int, hash_: str) -> None:
        try:
            self._write(seq, hash_)
            self._warned = False
        except OSError as error:
            if not self._warned:
                _log.warning("%s: the anchor of the audit log cannot be written: %s", self.path, error)
            self._warned = True

    def _write(self, seq: int, hash_: str, *, restored: bool = False) -> None:
        line = {"seq": seq, "hash": hash_, "ts_ns": time.time_ns()} | ({"restored": True} if restored else {})
        if self._key:
            line["hmac"] = self._signature(line)
        try:
            descriptor = append_to(self.path)
        except FileNotFoundError:
            private_folder(self.path.parent)
            descriptor = append_to(self.path)
        try:
            # One write, so that lines of several processes do not mix.
            os.write(descriptor, _encode(line).encode() + b"\n")
            if restored:
                os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size > self._thin_above:
            self._thin()

    def _signature(self, line: dict[str, object]) -> str:
        text = f"{line['seq']} {line['hash']} {line['ts_ns']} {'restored' in line}"
        return hmac.digest(self._key, text.encode(), "sha256").hex()

    def _thin(self) -> None:
        """Drop every second line of the older half, the first one and those of restores aside."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        half = len(lines) // 2
        kept = [line for n, line in enumerate(lines[:half]) if n % 2 == 0 or b'"restored"' in line]
        try:
            with whole_file(self.path) as stream:
                stream.writelines([*kept, *lines[half:]])
        except DataError as error:  # a file to which lines can only be added, or that another process has open
            _log.info("the older lines of the anchor file stay: %s", error)
            self._thin_above = 2 * sum(map(len, lines))

    def read(self) -> tuple[list[Anchor], list[Problem]]:
        """Return the anchors, in the order of the lines, and what is wrong with lines.

        :raises FileNotFoundError: if there is no such file.
        :raises OSError: if it cannot be read.
        """
        anchors: list[Anchor] = []
        problems: list[Problem] = []
        for number, text in enumerate(self.path.read_bytes().splitlines(), 1):
            where = f"{self.path}, line {number}"
            try:
                line = json.loads(text)
                anchor = Anchor(
                    int(line["seq"]), str(line["hash"]), int(line["ts_ns"]), where, line.get("restored") is True
                )
                signature = line.get("hmac")
            except (ValueError, TypeError, LookupError, AttributeError):
                problem = "this is no line of an anchor file, or not a whole one, as after a power cut"
                problems.append(Problem("audit", where, problem, "look at it; the other lines count", Severity.WARNING))
                continue
            if self._key and not (isinstance(signature, str) and hmac.compare_digest(signature, self._signature(line))):
                problem = f"the line for entry {anchor.seq} is not signed with the key of [audit]"
                remedy = "somebody else wrote it; or, if the key is new, move the file away once: a new one begins"
                problems.append(Problem("audit", where, problem, remedy))
                continue
            anchors.append(anchor)
        return anchors, problems

"""The verification of the audit log: its chain, its anchors, and the batches that it tells of."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from attrs import field, frozen

from fpa_core.engine.anchor import Anchor, AnchorFile
from fpa_core.engine.audit_log import COPY, GENESIS, hash_of
from fpa_core.engine.tables import Database, Reader
from fpa_core.operations.manifest import Manifest
from fpa_core.protocols import AuditEntry, Problem, Severity

__all__ = ["AnchorSources", "AuditReport", "verify_audit_log"]

TAMPERED = "somebody changed the log or replaced the database: compare it with a backup (`fpa store verify BACKUP`), and keep a copy as evidence"
_FEW = 10

FIRST_CHANGE = 2
"""The entry after that of the creation of the store. Anchors that begin later are not the first ones."""


@frozen
class AnchorSources:
    """Where the anchors of a log are.

    :ivar file: the anchor file; None for a store that has none.
    :ivar required: whether the file is named in the configuration, so that it is an error if it is missing.
    :ivar manifests: returns the manifests of the backups.
    """

    file: AnchorFile | None
    manifests: Callable[[], Sequence[tuple[Path, Manifest]]]
    required: bool = False


@frozen
class AuditReport:
    """What a verification of the audit log found.

    :ivar entries: how many entries there are, ``anchors`` how many anchors they were compared with.
    :ivar first_bad: the number of the first entry that is missing, or is not the one that was written; None if there is none.
    :ivar head: the hash of the last entry.
    """

    entries: int
    anchors: int
    head: str
    first_bad: int | None
    problems: tuple[Problem, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether no error was found."""
        return not any(one.severity is Severity.ERROR for one in self.problems)


@frozen
class _Chain:
    """What was read of the log.

    :ivar bad: the number of the first entry that does not follow from the one before, and what is wrong there.
    :ivar hashes: the hashes of the entries that anchors tell of.
    :ivar older: the last batch that the log need not tell of.
    :ivar batches: the number of a batch in each entry that has one, and the rows by its counts; -1 if they are not told.
    """

    entries: int
    last: int
    head: str
    bad: tuple[int, str] | None
    hashes: dict[int, str]
    older: int
    batches: array[int] = field(factory=lambda: array("q"))
    rows: array[int] = field(factory=lambda: array("q"))


def verify_audit_log(database: Database, sources: AnchorSources | None = None) -> AuditReport:
    """Verify the audit log of a store: each entry follows from the one before, the anchors tell the same, and so do the batches.

    Found are entries that were edited, deleted, reordered, cut off at the end or computed anew, and an old copy of the database in its place.

    :param sources: the anchors; None to look at the log alone.
    """
    with database.reader("verify the audit log") as tables:
        first = next((entry for page in tables.audit_log.scan(size=1) for entry in page), None)
        anchors, problems = _anchors(sources, "" if first is None else first.hash)
        chain = _chain(tables, {anchor.seq for anchor in anchors})
        covered = list(_batches(tables, chain)) if chain.bad is None else []
    bad: list[int] = []
    if chain.bad is not None:
        bad.append(chain.bad[0])
        problems.append(Problem("audit", f"audit log, entry {chain.bad[0]}", chain.bad[1], TAMPERED))
    number, found = _compare(chain, anchors)
    if number is not None:
        bad.append(number)
    return AuditReport(chain.entries, len(anchors), chain.head, min(bad, default=None), (*problems, *found, *covered))


def _anchors(sources: AnchorSources | None, first_hash: str) -> tuple[list[Anchor], list[Problem]]:
    if sources is None:
        return [], []
    anchors: list[Anchor] = []
    problems: list[Problem] = []
    if sources.file is None:
        problem = "it has no anchor outside the database: nobody can tell whether its end is missing"
        problems.append(Problem("audit", "audit log", problem, "set anchor in [audit]", Severity.WARNING))
    else:
        where = str(sources.file.path)
        try:
            anchors, problems = sources.file.read()
        except FileNotFoundError:
            severity = Severity.ERROR if sources.required and first_hash else Severity.WARNING
            problem = "the anchor of the audit log is missing: nobody can tell whether the end of the log is"
            remedy = "if the database was moved, put the file beside it; the next write begins a new one"
            problems.append(Problem("audit", where, problem, remedy, severity))
        except OSError as error:
            problems.append(
                Problem("audit", where, f"it cannot be read: {error.strerror or error}", "make it readable")
            )
    restored_ns = max((anchor.ts_ns for anchor in anchors if anchor.restored), default=0)
    kept = min((anchor.seq for anchor in anchors if anchor.restored), default=0)
    manifests = _anchors_of_manifests(sources.manifests(), first_hash)
    anchors += (one for one in manifests if one.ts_ns > restored_ns or one.seq <= kept)
    return anchors, problems


def _chain(tables: Reader, wanted: set[int]) -> _Chain:
    """Read the whole log, up to the first entry that does not follow from the one before."""
    previous, expected, count, older = GENESIS, 1, 0, 0
    bad: tuple[int, str] | None = None
    hashes: dict[int, str] = {}
    batches, rows = array("q"), array("q")
    for page in tables.audit_log.scan():
        for entry in page:
            count += 1
            if bad is not None:
                continue
            if entry.seq != expected:
                gone = f"{expected}" if entry.seq == expected + 1 else f"{expected} to {entry.seq - 1}"
                bad = expected, f"entry {gone} is missing"
            elif hash_of(previous, entry) != entry.hash or (told := _told(entry)) is None:
                bad = expected, "it is not the entry that was written here: its hash does not fit"
            else:
                previous, expected = entry.hash, expected + 1
                if entry.seq in wanted:
                    hashes[entry.seq] = entry.hash
                if entry.seq == 1 or entry.action == COPY:
                    older = told[0]
                if entry.batch is not None:
                    batches.append(entry.batch)
                    rows.append(told[1])
    return _Chain(count, expected - 1, previous, bad, hashes, older, batches, rows)


def _told(entry: AuditEntry) -> tuple[int, int] | None:
    """Return the last batch that is older than the log, or was copied from another store, and how many rows the entry's batch brought; None if no program of ours wrote the details.

    The number of rows is -1 for a stream, which grows by its groups, and for an undo.
    """
    try:
        details = json.loads(entry.details)
        kinds = details.get("kinds", {}).values()
        rows = sum(counts.get("inserted", 0) + counts.get("revised", 0) for counts in kinds)
        known = entry.action != "stream" and details.get("undoes") is None
        return int(details.get("batches", 0)), int(rows) if known else -1
    except (ValueError, TypeError, AttributeError):
        return None


def _compare(chain: _Chain, anchors: Sequence[Anchor]) -> tuple[int | None, list[Problem]]:
    """Compare the log with its anchors; return the first bad number and what is wrong."""
    number, problems = _mismatch(chain, _standing(anchors))
    restores = [place for place, anchor in enumerate(anchors) if anchor.restored]
    if problems and restores:
        # A restore that was killed just before it took effect has left a line, and the store of before.
        last = restores[-1]
        again = _mismatch(chain, _standing([*anchors[:last], *anchors[last + 1 :]]))
        if not again[1]:
            return again
    return number, problems


def _standing(anchors: Sequence[Anchor]) -> list[Anchor]:
    """Return the anchors that count: when a backup was put in place, what came after its end before does not."""
    standing: list[Anchor] = []
    for anchor in anchors:
        if anchor.restored:
            standing = [one for one in standing if one.seq <= anchor.seq]
        standing.append(anchor)
    return standing


def _mismatch(chain: _Chain, anchors: Sequence[Anchor]) -> tuple[int | None, list[Problem]]:
    good = 0
    for anchor in sorted((one for one in anchors if one.seq), key=lambda one: one.seq):
        if chain.bad is not None and anchor.seq >= chain.bad[0]:
            break
        if anchor.seq > chain.last:
            where = f"audit log, entry {chain.last + 1}"
            problem = f"the log ends with entry {chain.last}, and {anchor.where} tells of entry {anchor.seq}: its end was cut off, or this is an old copy"
            return chain.last + 1, [Problem("audit", where, problem, TAMPERED)]
        if chain.hashes[anchor.seq] != anchor.hash:
            first = min(good + 1, anchor.seq)  # two anchors may tell different things of one entry
            which = "it is" if anchor.seq == first else f"one of the entries {first} to {anchor.seq} is"
            problem = f"{which} not what it was when {anchor.where} was written: the log was computed anew from there"
            return first, [Problem("audit", f"audit log, entry {first}", problem, TAMPERED)]
        good = anchor.seq
    return None, list(_late(anchors))


def _late(anchors: Sequence[Anchor]) -> Iterator[Problem]:
    """Yield that the anchors begin long after the log: somebody removed the earlier ones."""
    begins = min((anchor.seq for anchor in anchors), default=0)
    if begins > FIRST_CHANGE and not any(anchor.restored for anchor in anchors):
        problem = f"the anchors begin with entry {begins}: earlier ones were removed, or the database was moved here without them"
        yield Problem("audit", anchors[0].where, problem, "keep the file with the database", Severity.WARNING)


def _batches(tables: Reader, chain: _Chain) -> Iterator[Problem]:
    """Compare the batches with the log."""
    told, rows = np.asarray(chain.batches, np.int64), np.asarray(chain.rows, np.int64)
    order = np.argsort(told, kind="stable")
    told, rows = told[order], rows[order]
    seen = np.zeros(len(told), bool)
    unknown: list[int] = []
    different: list[int] = []
    for page in tables.batches.scan():
        for batch in page:
            place = int(np.searchsorted(told, batch.id))
            if place < len(told) and told[place] == batch.id:
                seen[place] = True
                if rows[place] >= 0 and rows[place] != batch.inserted + batch.revised:
                    different.append(batch.id)
            elif batch.id > chain.older:
                unknown.append(batch.id)
    gone = [int(number) for number in told[~seen]]
    for numbers, what in (
        (unknown, "not in the audit log: they were written past this program"),
        (gone, "in the audit log, and not in the store: they were deleted past this program"),
        (
            different,
            "in the audit log with other numbers of rows than they have: their counts were changed past this program",
        ),
    ):
        if numbers:
            some = ", ".join(map(str, numbers[:_FEW])) + (", ..." if len(numbers) > _FEW else "")
            yield Problem("audit", f"batches {some}", f"{len(numbers):,} batches are {what}", TAMPERED)


def _anchors_of_manifests(manifests: Iterable[tuple[Path, Manifest]], first_hash: str) -> Iterator[Anchor]:
    """Yield the anchors in manifests of backups of one log.

    :param first_hash: the hash of the first entry of the log.
    """
    for path, manifest in manifests:
        if manifest.audit_first == first_hash:
            yield Anchor(manifest.audit_seq, manifest.audit_hash, manifest.made_ns, str(path))

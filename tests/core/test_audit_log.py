"""The audit log: an entry for each change, in its transaction, and a chain that shows every tampering with it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from full_store import T, fill
from hypothesis import given, settings
from hypothesis import strategies as st

from fpa_core.engine.anchor import AnchorFile
from fpa_core.engine.audit_log import GENESIS, hash_of, present_actor
from fpa_core.kinds import QUOTES
from fpa_core.models import Order, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.operations.audit_log import AnchorSources, AuditReport, verify_audit_log
from fpa_core.operations.changes import changes_of
from fpa_core.protocols import AuditEntry, Quarantined, QuarantineQuery, Query
from fpa_core.store import DataStore
from fpa_plugins.memory.database import MemoryDatabase
from fpa_plugins.memory.plugin import MemoryStoreOptions
from fpa_plugins.memory.plugin import open_store as open_memory
from fpa_plugins.sqlite.plugin import SqliteOptions
from fpa_plugins.sqlite.plugin import open_store as open_sqlite

ENTRIES = 12


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataStore]:
    """Open an empty store."""
    memory = request.param == "memory"
    backend = open_memory(MemoryStoreOptions()) if memory else open_sqlite(SqliteOptions(path=tmp_path / "test.db"))
    with contextlib.closing(DataStore(backend)) as opened:
        yield opened


def entries(store: DataStore) -> list[AuditEntry]:
    return list(store.backend.audit_entries())  # type: ignore[attr-defined]


def quote(second: int, symbol: str = "AAPL") -> Quote:
    return Quote(symbol, Instant(T + second * 10**9), 1, 2)


def order(status: str, second: int) -> Order:
    time = Instant(T + second * 10**9)
    return Order("o1", "AAPL", 10, "buy", "market", status, timestamp=Instant(T), updated_at=time)


# What is recorded


def test_every_change_has_an_entry(store: DataStore) -> None:
    """Writes, streams and their groups, deletions, undo, sealing and each action on the quarantine are recorded, with what they came to."""
    before = len(entries(store))
    first = store.save([quote(1), quote(2)], origin="by hand").batch
    with store.backend.transaction(origin="test") as batch:
        batch.quarantine([Quarantined("quotes", "AAPL", T, 1, "a raw line", ({"rule": "format", "message": "x"},))])
    with store.backend.transaction(origin="test") as batch:
        batch.discard(QuarantineQuery())
    stream = store.backend.stream(origin="live")
    with stream.group() as group:
        group.write_records(QUOTES, [quote(3)])
    stream.close()
    with store.backend.transaction(origin="test") as batch:
        batch.delete(Query(QUOTES, ("AAPL",), T + 3 * 10**9, T + 4 * 10**9))
    store.undo(first)
    store.save([Trade("MSFT", Instant(T), 1, 2)])
    store.seal("trades")
    told = entries(store)[before:]
    actions = ["write", "quarantine", "discard", "stream", "write", "delete", "undo", "write", "seal"]
    assert actions == [entry.action for entry in told]
    details = [json.loads(entry.details) for entry in told]
    assert ("by hand", {"quotes": {"inserted": 2}}) == (details[0]["origin"], details[0]["kinds"])
    assert 1 == details[1]["quarantined"]
    assert told[3].batch == details[4]["stream"]
    assert {"quotes": {"deleted": 1}} == details[5]["kinds"]
    assert (first, 2) == (details[6]["undoes"], details[6]["changed"])
    assert ("trades", 1) == (details[8]["kind"], details[8]["rows"])
    assert verify(store).is_sound


def test_who(store: DataStore) -> None:
    """An entry names the user, the computer, the process and the program, and none of the program's arguments."""
    store.save(quote(1))
    entry = entries(store)[-1]
    actor = present_actor()
    assert (actor.user, actor.host, os.getpid(), actor.program) == (
        entry.user,
        entry.host,
        entry.process,
        entry.program,
    )
    assert actor.user
    assert os.sep not in actor.program


def test_nothing_is_recorded_of_what_was_not_done(store: DataStore) -> None:
    """A batch that fails leaves no entry, and those who are told of entries hear of none."""
    told: list[AuditEntry] = []
    store.backend.audit.listeners.append(told.append)  # type: ignore[attr-defined]
    before = entries(store)
    with contextlib.suppress(ZeroDivisionError), store.batch() as batch:
        batch.write_records(QUOTES, [quote(1)])
        batch.delete(Query(QUOTES, limit=1 // 0))
    assert (before, []) == (entries(store), told)
    store.save(quote(1))
    assert entries(store)[len(before) :] == told


def test_before_and_after(store: DataStore) -> None:
    """The portfolio records of a batch are found in the history, before and after; also when later batches changed them, and after an undo."""
    store.save(order("new", 1))
    second = store.save(order("partially_filled", 2)).batch
    store.save(order("filled", 3))
    undo = store.undo(second + 1).batch
    with store.backend.database.reader("look") as tables:  # type: ignore[attr-defined]
        found = [changes_of(tables, batch) for batch in range(second - 1, undo + 1)]
    statuses = [
        [(c.before and c.before["status"], c.after and c.after["status"], c.reason) for c in one] for one in found
    ]
    assert [
        [(None, "new", None)],
        [("new", "partially_filled", "revised")],
        [("partially_filled", "filled", "revised")],
        [("filled", "partially_filled", "undone")],
    ] == statuses


def test_full_store_is_covered(store: DataStore) -> None:
    """A store with something of everything has an entry for each batch, with as many rows as it brought."""
    fill(store)
    report = verify(store)
    assert (None, ()) == (report.first_bad, report.problems)


# Tampering


def verify(store: DataStore) -> AuditReport:
    database = store.backend.database  # type: ignore[attr-defined]
    return verify_audit_log(database)


class Forged(MemoryDatabase):
    """A database whose log is what a test makes of it."""

    def __init__(self, log: list[AuditEntry]) -> None:
        super().__init__(busy_timeout=1)
        self._state = evolve(self._state, audit_log=list(log))


def made_log() -> list[AuditEntry]:
    log: list[AuditEntry] = []
    for seq in range(1, ENTRIES + 1):
        entry = AuditEntry(seq, T + seq, "seal", "ann", "host", 1, "fpa", None, json.dumps({"n": seq}), "")
        log.append(evolve(entry, hash=hash_of(log[-1].hash if log else GENESIS, entry)))
    return log


def chained_again(log: list[AuditEntry], start: int = 0) -> list[AuditEntry]:
    """Return the log with the hashes of entries from a place on computed anew, as a forger would."""
    made = log[:start]
    for old in log[start:]:
        entry = evolve(old, seq=len(made) + 1)
        made.append(evolve(entry, hash=hash_of(made[-1].hash if made else GENESIS, entry)))
    return made


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> AnchorFile:
    """Write the anchor of an untouched log."""
    file = AnchorFile(tmp_path_factory.mktemp("anchor") / "test.anchor", key="k" * 16)
    for entry in made_log():
        file.note(entry)
    return file


OTHER: dict[str, Any] = {
    "ts_ns": T,
    "action": "undo",
    "user": "bob",
    "host": "other",
    "process": 2,
    "program": "python",
    "batch": 7,
    "details": "{}",
    "hash": "f" * 64,
}
PLACES = st.integers(0, ENTRIES - 1)


def first_bad(log: list[AuditEntry], file: AnchorFile) -> int | None:
    report = verify_audit_log(Forged(log), AnchorSources(file, list))
    assert report.is_sound == (report.first_bad is None)
    return report.first_bad


@settings(max_examples=200)
@given(place=PLACES, name=st.sampled_from(sorted(OTHER)), anew=st.booleans())
def test_edited(anchored: AnchorFile, place: int, name: str, anew: bool) -> None:
    """An edited value is found, and the number of its entry named, even if all hashes from there on were computed anew."""
    log = made_log()
    log[place] = evolve(log[place], **{name: OTHER[name]})
    if anew and name != "hash":
        log = chained_again(log, place)
    assert place + 1 == first_bad(log, anchored)


@settings(max_examples=100)
@given(place=PLACES, count=st.integers(1, ENTRIES), anew=st.booleans())
def test_deleted(anchored: AnchorFile, place: int, count: int, anew: bool) -> None:
    """Deleted entries are found, in the middle and at the end, and the number of the first one named."""
    log = made_log()
    del log[place : place + count]
    assert place + 1 == first_bad(chained_again(log, place) if anew else log, anchored)


@settings(max_examples=100)
@given(places=st.sets(PLACES, min_size=2, max_size=2), anew=st.booleans())
def test_reordered(anchored: AnchorFile, places: set[int], anew: bool) -> None:
    """Entries that changed places are found, and the number of the first place named."""
    one, two = sorted(places)
    log = made_log()
    log[one], log[two] = evolve(log[two], seq=one + 1), evolve(log[one], seq=two + 1)
    assert one + 1 == first_bad(chained_again(log, one) if anew else log, anchored)


@settings(max_examples=30)
@given(kept=st.integers(0, ENTRIES - 1))
def test_old_copy(anchored: AnchorFile, kept: int) -> None:
    """An old copy of the log, sound in itself, is found by its anchor; what is missing begins after its end."""
    assert kept + 1 == first_bad(made_log()[:kept], anchored)


@settings(max_examples=30)
@given(kept=st.integers(0, ENTRIES - 2), more=st.integers(1, ENTRIES))
def test_old_copy_that_went_on(anchored: AnchorFile, kept: int, more: int) -> None:
    """Writing on to an old copy does not hide that it is one."""
    log = made_log()[:kept]
    log += [evolve(made_log()[0], user="bob", process=number) for number in range(more)]
    assert kept + 1 == first_bad(chained_again(log, kept), anchored)


def test_untouched(anchored: AnchorFile) -> None:
    """A log that nobody touched is sound."""
    assert first_bad(made_log(), anchored) is None


def test_batches_past_the_log(store: DataStore) -> None:
    """Batches that were written, deleted or changed past the program are found, and their numbers named."""
    for second in range(4):
        store.save(quote(second))
    database = store.backend.database  # type: ignore[attr-defined]
    with database.writer("tamper") as tables:
        (batch,) = tables.batches.find(batch=3)
        tables.batches.add(batch)
        tables.batches.record(2, recorded_ns=None, read=0, counts=_counts(1), quarantined=0, deleted=0)
    problems = " ".join(one.where + one.problem for one in verify(store).problems)
    assert "batches 51 batches are not in the audit log" in problems
    assert "batches 21 batches are in the audit log with other numbers of rows" in problems


def _counts(inserted: int) -> Any:
    from fpa_core.protocols import WriteCounts

    return WriteCounts(inserted=inserted)


# The anchor file


def test_anchor_file_is_private(tmp_path: Path) -> None:
    """The file is its owner's alone, also when its folder had to be made."""
    file = AnchorFile(tmp_path / "folder" / "test.anchor")
    file.note(made_log()[0])
    if os.name == "posix":
        assert 0o600 == file.path.stat().st_mode & 0o777
        assert 0o700 == file.path.parent.stat().st_mode & 0o777


def test_forged_anchor(tmp_path: Path) -> None:
    """With a key, a line that somebody else wrote, changed, or wrote without a signature is an error."""
    path = tmp_path / "test.anchor"
    log = made_log()
    file = AnchorFile(path, key="k" * 16)
    for entry in log:
        file.note(entry)
    forged = log[:3]
    shorter = path.read_bytes().splitlines(keepends=True)[:3]
    for key in ("", "x" * 16):
        path.write_bytes(b"".join(shorter))
        other = AnchorFile(path, key=key)
        other.restore(3, log[2].hash)
        report = verify_audit_log(Forged(forged), AnchorSources(file, list))
        assert not report.is_sound
        assert "line 4" in report.problems[0].where
        assert key == "" or key not in path.read_text()
    path.write_bytes(b"".join(shorter).replace(b'"seq":2', b'"seq":9'))
    assert not verify_audit_log(Forged(log), AnchorSources(file, list)).is_sound


def test_restored(tmp_path: Path) -> None:
    """A restore takes the log back to where the backup's ended; killed before it took effect, the log of before is sound as well."""
    file = AnchorFile(tmp_path / "test.anchor")
    log = made_log()
    for entry in log:
        file.note(entry)
    file.restore(4, log[3].hash)
    assert first_bad(log, file) is None
    assert first_bad(log[:4], file) is None
    assert 4 == first_bad(log[:3], file)
    other = chained_again([*log[:4], evolve(log[4], action="restore", user="bob")], 4)
    file.note(other[4])
    assert first_bad(other, file) is None
    assert 5 == first_bad(log, file)


def test_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays small; the last lines are all kept, the log is sound by them, and what was cut off is found."""
    monkeypatch.setattr("fpa_core.engine.anchor.THIN_ABOVE", 20_000)
    file = AnchorFile(tmp_path / "test.anchor")
    log = chained_again(made_log() * 100)
    for entry in log:
        file.note(entry)
    assert file.path.stat().st_size < 20_500
    seqs = [anchor.seq for anchor in file.read()[0]]
    assert 1 == seqs[0]
    assert list(range(len(log) - 20, len(log) + 1)) == seqs[-21:]
    assert first_bad(log, file) is None
    assert len(log) == first_bad(log[:-1], file)


def test_anchor_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A change whose anchor cannot be written is made all the same, with one warning; the next line that can covers it."""
    file = AnchorFile(tmp_path / "folder")
    file.path.mkdir()
    log = made_log()
    for entry in log[:3]:
        file.note(entry)
    assert 1 == caplog.text.count("the anchor of the audit log cannot be written")
    file.path.rmdir()
    file.note(log[3])
    assert [4] == [anchor.seq for anchor in file.read()[0]]


def test_torn_line(tmp_path: Path) -> None:
    """A line that a power cut tore is a warning, and the others count."""
    file = AnchorFile(tmp_path / "test.anchor")
    log = made_log()
    for entry in log:
        file.note(entry)
    file.path.write_bytes(file.path.read_bytes()[:-20])
    report = verify_audit_log(Forged(log), AnchorSources(file, list))
    assert (True, None, ["warning"]) == (
        report.is_sound,
        report.first_bad,
        [str(one.severity) for one in report.problems],
    )
    assert ENTRIES - 1 == first_bad(log[: ENTRIES - 2], file)


@pytest.mark.parametrize(("required", "sound"), [(True, False), (False, True)])
def test_missing_anchor(tmp_path: Path, required: bool, sound: bool) -> None:
    """A missing anchor is told; it is an error if the configuration names it."""
    sources = AnchorSources(AnchorFile(tmp_path / "gone"), list, required=required)
    report = verify_audit_log(Forged(made_log()), sources)
    assert (sound, 1) == (report.is_sound, len(report.problems))


def test_anchor_that_begins_late(tmp_path: Path) -> None:
    """An anchor that begins in the middle of the log is a warning: the one before it was removed."""
    file = AnchorFile(tmp_path / "test.anchor")
    for entry in made_log()[5:]:
        file.note(entry)
    report = verify_audit_log(Forged(made_log()), AnchorSources(file, list))
    assert report.is_sound
    assert "begin with entry 6" in report.problems[0].problem

"""The audit log of a store in use: operations, anchors outside the database, tampering with the file, and the commands."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from full_store import fill
from sqlite_schemas import migrate

from fpa_core import open as open_layer
from fpa_core.cli.main import main
from fpa_core.layer import DataLayer
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.operations.manifest import manifest_path
from fpa_plugins.sqlite.files.pages import open_file
from fpa_plugins.sqlite.migrations import known_migrations

KEY = "an-audit-key-canary"


def environ(folder: Path, **more: str) -> dict[str, str]:
    return {"FPA_STORE__PATH": str(folder / "test.db"), "FPA_BACKUP__FOLDER": str(folder / "backups"), **more}


def opened(folder: Path, **more: str) -> DataLayer:
    return open_layer(environ=environ(folder, **more), lazy=True)


def save(data: DataLayer, *seconds: int) -> None:
    for second in seconds:
        data.store.save(Quote("A", Instant(second * 10**9), 1, 2))


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a layer over a store with some batches."""
    with opened(tmp_path) as layer:
        save(layer, 1, 2, 3)
        yield layer


def actions(data: DataLayer) -> list[str]:
    return [entry.action for entry in data.operations.audit_log()]


def first_bad(data: DataLayer) -> int | None:
    """Return the first bad entry, of which the check of the whole store knows as well."""
    report = data.operations.verify_audit_log()
    errors = [problem for problem in data.check().errors if problem.check == "audit"]
    assert report.is_sound == (not errors)
    assert report.is_sound == (report.first_bad is None)
    return report.first_bad


# Operations


def test_operations_are_recorded(data: DataLayer) -> None:
    """Backups, compaction and restoring are recorded, and the log stays sound by all its anchors."""
    made = data.operations.backup()
    data.operations.compact()
    assert ["create", "write", "write", "write", "backup", "compact"] == actions(data)
    save(data, 4)
    done = data.operations.restore(made.path, replace=True)
    assert ["create", "write", "write", "write", "restore"] == actions(data)
    assert () == data.operations.verify_audit_log().problems
    assert () == data.check().problems
    save(data, 5)
    data.operations.backup()
    assert () == data.operations.verify_audit_log().problems
    assert done.aside is not None
    with open_layer(environ={"FPA_STORE__PATH": str(done.aside)}) as old:
        assert () == old.operations.verify_audit_log().problems
        assert "compact" in actions(old)


def test_manifest_has_the_end_of_the_log(data: DataLayer) -> None:
    """A backup's manifest has the number and the hash of the last entry of the copy, and a manifest with another one is found."""
    made = data.operations.backup()
    entry = list(data.operations.audit_log())[3]
    assert (4, entry.hash) == (made.manifest.audit_seq, made.manifest.audit_hash)
    path = manifest_path(made.path)
    path.write_text(path.read_text().replace(entry.hash, "f" * 64))
    assert 4 == first_bad(data)


def test_backup_alone_shows_an_old_copy(data: DataLayer, tmp_path: Path) -> None:
    """An old copy is found by the manifest of a later backup, even if the anchor file was put back as well."""
    copy = tmp_path / "copy"
    data.close()
    shutil.copytree(tmp_path, copy, ignore=lambda _folder, _names: ["copy"])
    with opened(tmp_path) as later:
        save(later, 4, 5)
        later.operations.backup()
    for name in ("test.db", "test.db.anchor"):
        shutil.copy(copy / name, tmp_path / name)
    with opened(tmp_path) as old:
        assert 5 == first_bad(old)


def test_migrated_store_begins_a_log(tmp_path: Path) -> None:
    """A database of before there was a log gets one, which says which batches are older than it."""
    connection = open_file(str(tmp_path / "test.db"), 6)
    names = [step.name for step in known_migrations()]
    migrate(connection, tmp_path / "test.db", known_migrations()[: names.index("audit_log")])
    connection.execute("INSERT INTO batches (id, origin, recorded_ns) VALUES (1, 'api', 1), (2, 'api', 2)")
    connection.close()
    with opened(tmp_path) as data:
        save(data, 1)
        assert ["migrate", "write"] == actions(data)
        first = json.loads(next(data.operations.audit_log()).details)
        assert (2, len(known_migrations())) == (first["batches"], first["to"])
        assert first["backup"].endswith(".bak")
        assert data.operations.verify_audit_log().is_sound


def test_repairs_are_recorded(data: DataLayer) -> None:
    """A repair is recorded in the transaction of what it mends."""
    with data.store.backend.database.writer("set the clock ahead") as tables:  # type: ignore[attr-defined]
        tables.batches.amend(3, recorded_ns=2**62)
    assert data.check(repair=True).problems[0].repaired
    assert "repair" == actions(data)[-1]
    assert data.operations.verify_audit_log().is_sound


def test_everything_is_covered(tmp_path: Path) -> None:
    """A store with something of everything, closed and opened again, is sound by its log and its anchor."""
    with opened(tmp_path) as data:
        fill(data.store)
    with opened(tmp_path) as data:
        assert () == data.operations.verify_audit_log().problems


# Tampering with the file


def tamper(folder: Path, sql: str) -> None:
    """Change the database past the program, by a driver that keeps the checksums of pages right."""
    connection = open_file(str(folder / "test.db"), apsw.SQLITE_OPEN_READWRITE)
    connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("UPDATE audit_log SET user_name = 'nobody' WHERE seq = 3", 3),
        ("DELETE FROM audit_log WHERE seq = 2", 2),
        ("DELETE FROM audit_log WHERE seq = 1", 1),
        ("DELETE FROM audit_log WHERE seq >= 3", 3),
        ("DELETE FROM audit_log", 1),
        (
            "UPDATE audit_log SET seq = 5 - seq + 100 WHERE seq IN (2, 3); UPDATE audit_log SET seq = seq - 100 WHERE seq > 100",
            2,
        ),
        ("UPDATE audit_log SET hash = (SELECT hash FROM audit_log WHERE seq = 2) WHERE seq = 4", 4),
    ],
)
def test_tampering_is_found(data: DataLayer, tmp_path: Path, sql: str, bad: int) -> None:
    """Edited, deleted, reordered and cut off entries are found, and the first bad one is named; writing on hides nothing."""
    data.close()
    tamper(tmp_path, sql)
    with opened(tmp_path) as again:
        assert bad == first_bad(again)
        save(again, 9)
        assert bad == first_bad(again)


def test_old_copy_is_found(data: DataLayer, tmp_path: Path) -> None:
    """An old copy of the database in its place is found, also when writing goes on in it."""
    data.close()
    shutil.copy(tmp_path / "test.db", tmp_path / "copy")
    with opened(tmp_path) as later:
        save(later, 4, 5)
    shutil.copy(tmp_path / "copy", tmp_path / "test.db")
    with opened(tmp_path) as old:
        assert 5 == first_bad(old)
        save(old, 6, 7, 8)
        assert 5 == first_bad(old)


def test_rows_past_the_log(data: DataLayer, tmp_path: Path) -> None:
    """A batch that was taken out with its rows and entries of other tables is missed by the log."""
    data.close()
    tamper(tmp_path, "DELETE FROM quotes WHERE batch = 3; DELETE FROM batches WHERE id = 3")
    with opened(tmp_path) as again:
        problems = [problem for problem in again.check().errors if problem.check == "audit"]
        assert ["batches 3"] == [problem.where for problem in problems]


# The anchor


def test_anchor_elsewhere_and_signed(tmp_path: Path) -> None:
    """The anchor goes where the configuration says, is signed, and shows the key nowhere; it is an error if it is missing."""
    anchor = tmp_path / "elsewhere" / "the.anchor"
    more = {"FPA_AUDIT__ANCHOR": str(anchor), "FPA_AUDIT__KEY": KEY}
    with opened(tmp_path, **more) as data:
        save(data, 1, 2)
        assert () == data.operations.verify_audit_log().problems
        assert KEY not in repr(data.config) + anchor.read_text()
    assert not (tmp_path / "test.db.anchor").exists()
    with opened(tmp_path, **more | {"FPA_AUDIT__KEY": "another key"}) as data:
        assert not data.operations.verify_audit_log().is_sound
    anchor.unlink()
    with opened(tmp_path, **more, FPA_STORE__READ_ONLY="true") as data:
        report = data.operations.verify_audit_log()
        assert (False, None) == (report.is_sound, report.first_bad)
    assert not anchor.exists()


def test_memory_has_no_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in memory has a log, and no anchor."""
    monkeypatch.chdir(tmp_path)
    with open_layer(":memory:") as data:
        save(data, 1)
        assert ["write"] == actions(data)
        assert () == data.operations.verify_audit_log().problems
    assert [] == list(tmp_path.iterdir())


# Commands


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return int(end.value.code or 0)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands show entries with what they changed, verify, and export what can be verified elsewhere."""
    monkeypatch.chdir(tmp_path)

    def shown(*arguments: object, code: int = 0) -> Any:
        assert code == run(*arguments)
        return capsys.readouterr().out

    (tmp_path / "orders.csv").write_text(
        "order_id,symbol,quantity,side,order_type,status,filled_quantity,time_in_force,timestamp,updated_at\n"
        "o1,AAPL,10,buy,limit,new,0,day,2024-05-01T14:30:00Z,2024-05-01T14:30:00Z\n"
    )
    (tmp_path / "later.csv").write_text(
        (tmp_path / "orders.csv").read_text().replace("new,0", "filled,10").replace("30:00Z\n", "31:00Z\n")
    )
    shown("ingest", "orders.csv")
    shown("ingest", "later.csv")
    entries = json.loads(shown("audit-log", "show", "--json"))["results"]
    assert [3, 2, 1] == [entry["seq"] for entry in entries]
    assert ("later.csv", {"orders": {"revised": 1}}) == (entries[0]["details"]["file"], entries[0]["details"]["kinds"])
    assert [2] == [entry["seq"] for entry in json.loads(shown("audit-log", "show", "--batch", 1, "--json"))["results"]]
    assert [] == json.loads(shown("audit-log", "show", "--user", "nobody else", "--json"))["results"]
    assert "later.csv" in shown("audit-log", "show", "--limit", 1)
    (change,) = json.loads(shown("audit-log", "show", 3, "--json"))["results"][0]["changes"]
    assert ("orders", "revised", "new", "filled") == (
        change["kind"],
        change["reason"],
        change["before"]["status"],
        change["after"]["status"],
    )
    assert "status: new -> filled" in shown("audit-log", "show", 3)
    assert "there is no entry 9" not in shown("audit-log", "show", 9, code=2)
    assert "3 entries" in shown("audit-log", "verify")
    shown("audit-log", "export", "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["hash"] for entry in entries[::-1]] == [line["hash"] for line in lines]
    if os.name == "posix":
        assert 0o600 == (tmp_path / "log.jsonl").stat().st_mode & 0o777
    connection = open_file("portfolio.db", apsw.SQLITE_OPEN_READWRITE)
    connection.execute("UPDATE audit_log SET action = 'undo' WHERE seq = 2")
    connection.close()
    assert "the first bad entry is 2" in shown("audit-log", "verify", code=1)
    report = json.loads(shown("audit-log", "verify", "--json", code=1))["summary"]
    assert (False, 2) == (report["sound"], report["first_bad"])
    assert "entry 2" in shown("store", "check", code=1)

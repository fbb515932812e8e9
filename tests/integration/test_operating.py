"""Backups, restoring, compaction and migration plans, from Python and from the command line."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from full_store import T, fill, read_all
from sqlite_schemas import migrate

from fpa_core import open as open_layer
from fpa_core.cli.main import main
from fpa_core.exceptions import CorruptionError, DatabaseBusyError, DatabaseError, DataError, SchemaError
from fpa_core.kinds import KINDS
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_core.operations.manifest import Manifest, manifest_path, read_manifest, sha256_of
from fpa_core.protocols import Quarantined
from fpa_plugins.sqlite.files.pages import has_checksums, open_file
from fpa_plugins.sqlite.migrations import Migration, known_migrations

LATEST = known_migrations()[-1].version


def environ(folder: Path, **more: str) -> dict[str, str]:
    return {"FPA_STORE__PATH": str(folder / "test.db"), "FPA_BACKUP__FOLDER": str(folder / "backups"), **more}


@pytest.fixture
def data(tmp_path: Path) -> Any:
    """Open a layer over a store with something of everything."""
    with open_layer(environ=environ(tmp_path), lazy=True) as layer:
        fill(layer.store)
        yield layer


def change(path: Path, place: int = -5_000) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


# Backups


def test_backup_is_what_the_store_was(data: DataLayer, tmp_path: Path) -> None:
    """A backup has a manifest with what is in it, and a store restored from it answers as the one did that was backed up."""
    before = read_all(data.store)
    ticks: list[tuple[int, int]] = []
    made = data.operations.backup(tick=lambda done, whole: ticks.append((done, whole)))
    assert tmp_path / "backups" == made.path.parent
    assert ticks[-1][0] == ticks[-1][1]
    manifest = read_manifest(made.path)
    assert made.manifest == manifest
    assert (LATEST, made.path.stat().st_size, 40) == (manifest.schema, manifest.bytes, manifest.rejected)
    assert {name: len(before[name]) for name in KINDS} == {name: kind.rows for name, kind in manifest.kinds.items()}
    data.store.save(Quote("LATER", Instant(1), 1, 2))
    assert data.operations.verify(made.path).manifest == manifest
    other = tmp_path / "other"
    with open_layer(environ=environ(other), lazy=True) as restored:
        done = restored.operations.restore(made.path)
        assert (other / "test.db", None) == (done.path, done.aside)
        assert before == read_all(restored.store)
        assert () == restored.check().problems
        again = restored.operations.backup()
        assert manifest.kinds == again.manifest.kinds


def test_backup_of_what_is_in_the_log(tmp_path: Path) -> None:
    """A backup of more pages than are kept in memory, all of them in the write-ahead log, is sound: their checksums are computed for it."""
    with open_layer(environ=environ(tmp_path, FPA_VALIDATOR__LEVEL="off")) as data:
        writer = data.store.backend.database._pool._writer  # type: ignore[attr-defined]
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(4):
            with data.store.batch() as batch:
                batch.quarantine(
                    [Quarantined("quotes", None, None, i, f"{number},{i}" * 2_000, ()) for i in range(300)]
                )
        assert writer.pragma("page_count") > 600
        made = data.operations.backup()
        assert made == data.operations.verify(made.path)


def test_backup_beside_writers(tmp_path: Path) -> None:
    """A backup taken while others write holds whole batches, up to one of them and none after it."""
    stop = threading.Event()
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        data.store.save([Quote("A", Instant(i), 1, 2) for i in range(20_000)])

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                data.store.save([Quote(f"W{number}", Instant(i), 1, 2) for i in range(50)])

        writer = threading.Thread(target=write)
        writer.start()
        try:
            made = [data.operations.backup() for _ in range(3)]
        finally:
            stop.set()
            writer.join()
        written = len(data.store.batches())
    for number, one in enumerate(made):
        with open_layer(environ=environ(tmp_path / f"copy{number}"), lazy=True) as copy:
            copy.operations.restore(one.path)
            assert () == copy.check().problems
            batches = len(copy.store.batches())
            assert batches <= written
            assert 20_000 + 50 * (batches - 1) == copy.select(Quote).count()
            assert [] == copy.store.get_quotes(f"W{batches}")


def test_rotation_keeps_the_latest(data: DataLayer, tmp_path: Path) -> None:
    """Only the oldest backups of the same database go, and nothing else in the folder."""
    folder = tmp_path / "backups"
    with open_layer(environ=environ(tmp_path) | {"FPA_STORE__PATH": str(tmp_path / "another.db")}, lazy=True) as other:
        foreign = other.operations.backup()
    (folder / "notes.txt").write_text("mine")
    (folder / "test-20200101T000000.000000000Z.db").write_text("mine, too")
    made = [data.operations.backup(keep=2) for _ in range(4)]
    assert [(), (), (made[0].path,), (made[1].path,)] == [one.removed for one in made]
    assert [made[3].path, made[2].path, foreign.path] == [one.path for one in data.operations.backups()]
    kept = [*made[2:], foreign]
    names = {one.path.name for one in kept} | {manifest_path(one.path).name for one in kept}
    assert names | {"notes.txt", "test-20200101T000000.000000000Z.db"} == {path.name for path in folder.iterdir()}


def test_unfinished_backups_do_not_count(data: DataLayer, tmp_path: Path) -> None:
    """What a killed backup left is no backup: a part of a database, or a manifest alone."""
    made = data.operations.backup()
    folder = made.path.parent
    (folder / f".{made.path.name}.part").write_bytes(b"half")
    made.path.with_name("test-later.db.json").write_text(manifest_path(made.path).read_text())
    assert [made.path] == [one.path for one in data.operations.backups()]
    with pytest.raises(DataError, match="there is no such backup"):
        data.operations.verify(folder / "test-later.db")
    with pytest.raises(DataError, match="the manifest of the backup cannot be read"):
        data.operations.verify(tmp_path / "test.db")


def test_backup_to_a_file(data: DataLayer, tmp_path: Path) -> None:
    """A backup may be given a name, which must be free."""
    made = data.operations.backup(tmp_path / "mine" / "copy.db", keep=1)
    assert (tmp_path / "mine" / "copy.db", ()) == (made.path, made.removed)
    with pytest.raises(DatabaseError, match="already exists"):
        data.operations.backup(tmp_path / "mine" / "copy.db")


def test_damaged_store_is_not_backed_up(data: DataLayer, tmp_path: Path) -> None:
    """A backup of a damaged store would take the place of a good one: there is none, and the error says what is damaged."""
    with data.store.backend.database.writer("damage") as tables:  # type: ignore[attr-defined]
        tables.batches.amend(2, recorded_ns=5)
    with pytest.raises(CorruptionError, match="batch 2"):
        data.operations.backup()
    assert [] == list((tmp_path / "backups").iterdir())


@pytest.mark.parametrize("how", ["flip", "cut", "manifest", "number", "format"])
def test_changed_backup_is_refused(data: DataLayer, how: str) -> None:
    """A backup that is not what it was is found, and is not restored."""
    made = data.operations.backup()
    manifest = manifest_path(made.path)
    if how == "flip":
        change(made.path)
    elif how == "cut":
        made.path.write_bytes(made.path.read_bytes()[:-16_384])
    elif how == "manifest":
        manifest.write_text(manifest.read_text()[:-40])
    elif how == "number":
        manifest.write_text(manifest.read_text().replace('"rows": 300', '"rows": 301'))
    else:
        manifest.write_text(manifest.read_text().replace("fpa-backup/1", "fpa-backup/9"))
    before = read_all(data.store)
    for use in (data.operations.verify, lambda path: data.operations.restore(path, replace=True)):
        with pytest.raises((CorruptionError, DataError)):
            use(made.path)
    assert before == read_all(data.store)


# Restoring


def test_restore_never_takes_a_place(data: DataLayer) -> None:
    """A store that is there is replaced only if that is asked for, and is kept beside the restored one."""
    made = data.operations.backup()
    before = read_all(data.store)
    data.store.save(Quote("LATER", Instant(1), 1, 2))
    with pytest.raises(DatabaseError, match="already exists"):
        data.operations.restore(made.path)
    assert 1 == data.select(Quote, "LATER").count()
    done = data.operations.restore(made.path, replace=True)
    assert before == read_all(data.store)
    assert done.aside is not None
    with open_layer(environ={"FPA_STORE__PATH": str(done.aside)}) as old:
        assert 1 == old.select(Quote, "LATER").count()
        assert () == old.check().problems


def test_restore_drops_cached_answers(tmp_path: Path) -> None:
    """What a lasting cache remembers of the store before is not an answer of the restored one."""
    cache = {"FPA_CACHE__BACKEND": "disk", "FPA_CACHE__PATH": str(tmp_path / "cache"), "FPA_CACHE__TTL": "never"}
    with open_layer(environ=environ(tmp_path, **cache), lazy=True) as data:
        data.store.save(Quote("A", Instant(1), 1, 2))
        made = data.operations.backup()
        data.store.save(Quote("A", Instant(2), 1, 2))
        assert 2 == len(data.store.get_quotes("A"))
        data.operations.restore(made.path, replace=True)
        assert 1 == len(data.store.get_quotes("A"))


def test_restore_over_a_damaged_store(data: DataLayer, tmp_path: Path) -> None:
    """A store that cannot be opened any more is replaced, and kept as it is."""
    made = data.operations.backup()
    before = read_all(data.store)
    data.close()
    path = tmp_path / "test.db"
    path.write_bytes(b"\xff" * 5_000 + path.read_bytes()[5_000:])
    damaged = path.read_bytes()
    with open_layer(environ=environ(tmp_path), lazy=True) as again:
        done = again.operations.restore(made.path, replace=True)
        assert before == read_all(again.store)
    assert done.aside is not None
    assert damaged == done.aside.read_bytes()


def test_backup_of_an_older_schema(tmp_path: Path) -> None:
    """A backup that an older version made is put back and migrated; one of a newer version is refused with both versions."""
    backup = tmp_path / "old.db"
    backup.write_bytes(gzip.decompress((Path(__file__).parents[1] / "schemas" / "schema_3.db.gz").read_bytes()))
    size, checksum = backup.stat().st_size, sha256_of(backup, lambda *_: None)
    manifest = Manifest("test.db", 5, "0.0.1", "SQLite 3", 3, size, checksum, 5, 5, 1)
    manifest_path(backup).write_text(manifest.to_json())
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        assert manifest == data.operations.verify(backup).manifest
        data.operations.restore(backup)
        assert 500 == data.select("trades", "SEALED").count()
        assert () == data.check().problems
        manifest_path(backup).write_text(evolve(manifest, schema=LATEST + 1).to_json())
        with pytest.raises(SchemaError, match=f"its schema is {LATEST + 1}, the newest known here is {LATEST}"):
            data.operations.restore(backup, replace=True)


def test_restore_is_refused_while_others_have_it_open(data: DataLayer, tmp_path: Path) -> None:
    """A store that another program has open is not taken from under it."""
    made = data.operations.backup()
    with open_layer(environ=environ(tmp_path)) as other:
        assert 0 < other.select(Quote).count()
        with pytest.raises(DatabaseBusyError, match="another program has the database open"):
            data.operations.restore(made.path, replace=True)
        other.store.save(Quote("LATER", Instant(1), 1, 2))
    assert 1 == data.select(Quote, "LATER").count()


# Space


def test_compact_gives_space_back(data: DataLayer) -> None:
    """The space of what was deleted is given back, and nothing else changes."""
    undone = data.store.save([Bar("BIG", Instant(T + i * i), 1, 3, 1, 2, i, "1m") for i in range(20_000)])
    data.store.undo(undone.batch)
    with data.store.backend.database.writer("forget") as tables:  # type: ignore[attr-defined]
        tables.rows._session.run("DELETE FROM bars_history WHERE batch = ?", [undone.batch])
    before = read_all(data.store)
    first, last = data.operations.compact()
    assert last.bytes < first.bytes / 2
    assert (0, last.bytes) == (last.free, data.store.backend.describe().bytes)
    assert before == read_all(data.store)


WRITE_AND_CRASH = """
import os, signal, sys
import fpa_core
from fpa_core.models import Quote
from fpa_core.numbers import Instant

data = fpa_core.open(store__path=sys.argv[1], validator__level="off")
for number in range(20):
    data.store.save([Quote(f"S{i % 7}", Instant(10**18 + number * 1000 + i), 1, 2) for i in range(200)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_file_that_another_program_recovered_is_accepted_on_request(tmp_path: Path) -> None:
    """After a crash the shell of SQLite leaves pages without our checksums: they are refused as damage, and taken as they are where that is asked for."""
    path = tmp_path / "test.db"
    subprocess.run([sys.executable, "-c", WRITE_AND_CRASH, str(path)], check=False)
    with contextlib.closing(sqlite3.connect(path)) as shell:
        assert (20,) == shell.execute("SELECT count(*) FROM batches").fetchone()
    with pytest.raises(CorruptionError, match="does not match its checksum") as refused:
        open_layer(environ=environ(tmp_path))
    assert "--accept-pages" in str(refused.value.hint)
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        data.operations.compact(accept_pages=True)
        assert 4_000 == data.select(Quote).count()
        assert () == data.check().errors
        assert "accept pages" in [entry.action for entry in data.operations.audit_log()]


def test_compact_adds_checksums_to_an_old_file(tmp_path: Path) -> None:
    """A file of before there were checksums is read as it is, told as a warning, and has them after it was compacted."""
    path = tmp_path / "test.db"
    old = apsw.Connection(str(path))
    migrate(old, path, known_migrations())
    old.close()
    with open_layer(environ=environ(tmp_path)) as data:
        data.store.save([Quote("A", Instant(i), 1, 2) for i in range(3_000)])
        assert not has_checksums(path)
        (problem,) = data.check().problems
        assert ("warning", "`fpa store compact` adds them") == (problem.severity, problem.remedy)
        data.operations.compact()
        data.store.save(Quote("A", Instant(-1), 1, 2))
        assert () == data.check().problems
    assert has_checksums(path)
    change(path, -20_000)
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        assert "page" in {problem.check for problem in data.check().errors}


# Migrations


def test_plans(tmp_path: Path) -> None:
    """A plan says what opening a store will do, and does nothing."""
    path = tmp_path / "test.db"
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        plan = data.operations.plan()
        assert (0, LATEST, LATEST, None) == (plan.version, plan.latest, len(plan.steps), plan.backup)
        assert [] == list(tmp_path.iterdir())
        connection = open_file(str(path), 6)
        migrate(connection, path, known_migrations()[:3])
        connection.close()
        plan = data.operations.plan()
        assert (3, [step.version for step in known_migrations()[3:]]) == (
            plan.version,
            [step.version for step in plan.steps],
        )
        assert plan.backup is not None
        assert plan.bytes == path.stat().st_size < plan.free
        assert [path] == list(tmp_path.iterdir())
        assert plan.steps == data.operations.migrate().steps
        assert (LATEST, ()) == (data.operations.plan().version, tuple(data.operations.plan().steps))
        (backup,) = tmp_path.glob("*.bak")
        assert backup.name.startswith("test.db.v3-")


def test_plan_of_a_newer_or_edited_schema_is_refused(tmp_path: Path) -> None:
    """A schema of a newer version, and one whose past differs, are refused with both versions."""
    path = tmp_path / "test.db"
    connection = open_file(str(path), 6)
    migrate(connection, path, [*known_migrations(), Migration(LATEST + 1, "more", "SELECT 1;")])
    with open_layer(environ=environ(tmp_path), lazy=True) as data:
        with pytest.raises(SchemaError, match=f"its schema is {LATEST + 1}, the newest known here is {LATEST}"):
            data.operations.plan()
        connection.execute("DELETE FROM schema_versions WHERE version > ?", [LATEST])
        connection.execute("UPDATE schema_versions SET checksum = 'x' WHERE version = 2")
        with pytest.raises(SchemaError, match=rf"step 2 \(segments\) of its schema, which is {LATEST}.* {LATEST}"):
            data.operations.plan()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER planted AFTER INSERT ON batches BEGIN DELETE FROM trades; END",
        "CREATE VIEW planted AS SELECT 1",
        "CREATE TABLE planted (x)",
        "DROP INDEX batches_by_time",
        "ALTER TABLE quotes ADD COLUMN planted TEXT",
    ],
)
def test_schema_that_no_migration_made_is_refused(data: DataLayer, tmp_path: Path, statement: str) -> None:
    """A trigger, a view or a table that somebody planted could change what is stored or read: the store is not opened."""
    data.close()
    connection = open_file(str(tmp_path / "test.db"), 6)
    connection.execute(statement)
    connection.close()
    with pytest.raises(SchemaError, match="not the one that the migrations made"):
        open_layer(environ=environ(tmp_path))


def test_statistics_of_the_engine_are_no_change(data: DataLayer, tmp_path: Path) -> None:
    """The tables in which SQLite keeps statistics for its planner are its own."""
    data.close()
    connection = open_file(str(tmp_path / "test.db"), 6)
    connection.execute("ANALYZE")
    connection.close()
    with open_layer(environ=environ(tmp_path)) as again:
        assert () == again.check().problems


# Other stores


def test_what_a_store_cannot_do_is_refused_clearly() -> None:
    """A store in memory is checked as any other; what needs a file is refused by name."""
    with open_layer(":memory:") as data:
        fill(data.store)
        assert () == data.check().problems
        assert () == data.check(repair=True).problems
        refused: list[tuple[Callable[[], Any], str]] = [
            (data.operations.backup, "does not offer 'backup'"),
            (data.operations.compact, "does not offer 'compact'"),
            (lambda: data.operations.restore("x.db"), "is not a file"),
            (lambda: data.operations.verify("x.db"), "is not a file"),
            (data.operations.plan, "is not a file"),
        ]
        for call, message in refused:
            with pytest.raises(DatabaseError, match=message) as error:
                call()
            assert error.value.hint
        database = data.store.backend.database  # type: ignore[attr-defined]
        for mechanism in (database.space, database.compact, lambda: database.copy_to(Path("x"), lambda *_: None)):
            with pytest.raises(DatabaseError, match="does not offer"):
                mechanism()


# The command line


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return 0 if end.value.code is None else int(end.value.code)  # type: ignore[arg-type]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command in a folder with a store, and return its exit code and its JSON."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quotes.csv").write_text(
        "symbol,timestamp,bid,ask\nA,2024-05-01T14:30:00Z,1,2\nA,2024-05-01T14:30:01Z,x,2\n"
    )
    assert 0 == run("ingest", "quotes.csv")

    def call(*arguments: str | Path) -> Any:
        capsys.readouterr()
        code = run(*arguments, "--json")
        printed = capsys.readouterr().out
        return code, json.loads(printed) if printed else None

    return call


def test_commands(shell: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each command answers people and machines, and its exit code says how it went."""
    code, report = shell("store", "check")
    summary = report["summary"]
    assert (0, True, [], 1) == (code, summary["sound"], report["results"], summary["checked"]["batches"])
    code, printed = shell("store", "backup")
    (first,) = printed["results"]
    assert (0, 1, []) == (code, first["manifest"]["kinds"]["quotes"]["rows"], printed["summary"]["removed"])
    code, printed = shell("store", "backup", "--keep", "1")
    (second,) = printed["results"]
    assert (0, [first["path"]]) == (code, printed["summary"]["removed"])
    code, listed = shell("store", "backups")
    assert (0, [second["path"]]) == (code, [one["path"] for one in listed["results"]])
    assert 0 == shell("store", "verify", second["path"])[0]
    code, refused = shell("store", "restore", second["path"])
    assert (5, 5, True) == (code, refused["error"]["exit_code"], "already exists" in refused["error"]["message"])
    code, done = shell("store", "restore", "--replace", second["path"])
    assert (0, True) == (code, Path(done["results"][0]["aside"]).exists())
    code, printed = shell("store", "compact")
    (space,) = printed["results"]
    assert (0, space["before"] - space["after"]) == (code, space["freed"])
    code, printed = shell("store", "migrate", "--plan")
    (plan,) = printed["results"]
    assert (0, [], LATEST) == (code, plan["steps"], plan["version"])
    assert 7 == run("store", "verify", "nothing.db")
    capsys.readouterr()
    for command in (
        ["check"],
        ["backup"],
        ["backups"],
        ["verify", second["path"]],
        ["compact"],
        ["migrate"],
        ["migrate", "--plan"],
    ):
        assert 0 == run("store", *command), command
        assert capsys.readouterr().out.strip()
    assert 0 == run("store", "restore", "--replace", second["path"])
    assert "the database before is kept as" in capsys.readouterr().out
    assert 2 == run("--read-only", "store", "restore", second["path"])


def test_check_of_a_damaged_store(
    shell: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that found errors says where and what to do, and ends with 1; a store that cannot be opened ends with 5."""
    path = tmp_path / "portfolio.db"
    whole = path.read_bytes()
    with contextlib.closing(open_file(str(path), apsw.SQLITE_OPEN_READONLY)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'quotes'").get
    change(path, (page - 1) * 16_384 + 16_000)
    code, report = shell("store", "check")
    assert (1, False) == (code, report["summary"]["sound"])
    assert any(f"page {page}" in problem["where"] for problem in report["results"])
    assert 1 == run("store", "check")
    printed = capsys.readouterr().out
    assert "to do: restore the database from a backup" in printed
    assert "errors" in printed
    assert 1 == run("store", "check", "--repair")
    path.write_bytes(whole)
    change(path, 60)
    assert 5 == run("store", "check")
    assert "fpa store restore BACKUP --replace" in capsys.readouterr().err

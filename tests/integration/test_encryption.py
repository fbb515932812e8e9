"""Encryption at rest: nothing of what is stored can be read without the key, and everything else works as it does without."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from full_store import fill, read_all
from sqlite_schemas import migrate

from fpa_core import open as open_layer
from fpa_core.cli.main import main
from fpa_core.exceptions import ConfigError, CorruptionError, DatabaseError, FpaError, SchemaError
from fpa_core.layer import DataLayer
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_plugins.sqlite.files.copying import verified_copy
from fpa_plugins.sqlite.files.encryption import Key
from fpa_plugins.sqlite.files.pages import has_checksums, open_file
from fpa_plugins.sqlite.migrations import Migration, known_migrations

KEY = "canary-key ü' \" ; & % 123456"
OTHER = "canary-other-key-123456"
CANARY = "CANARYSYMBOL"
FILES = {"test.db", "test.db.anchor"}


def environ(folder: Path, key: str | None = KEY, **more: str) -> dict[str, str]:
    own = {"FPA_STORE__PATH": str(folder / "test.db"), "FPA_BACKUP__FOLDER": str(folder / "backups")}
    return own | ({} if key is None else {"FPA_STORE__KEY": key}) | more


def opened(folder: Path, key: str | None = KEY, **more: str) -> DataLayer:
    return open_layer(environ=environ(folder, key, **more), lazy=True)


def in_the_clear(folder: Path) -> list[str]:
    """Return the files in which something of the store, or a key, can be read."""
    words = [CANARY.encode(), b"SEALED", b"CREATE TABLE", b"canary"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(word in path.read_bytes() for word in words)]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Make a file with another key."""
    path = tmp_path / "keys" / "other.key"
    path.parent.mkdir()
    path.write_text(f"{OTHER}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with an encrypted store that has something of everything."""
    folder = tmp_path / "store"
    with opened(folder) as data:
        fill(data.store)
        data.store.save(Quote(CANARY, Instant(1), 1, 2))
    return folder


def test_nothing_can_be_read(folder: Path) -> None:
    """Neither the file nor its log, while it is written, shows anything of what is stored."""
    with opened(folder) as data:
        before = read_all(data.store)
        data.store.save([Quote(CANARY, Instant(i), 1, 2) for i in range(2, 3_000)])
        assert (folder / "test.db-wal").stat().st_size > 10_000
        assert [] == in_the_clear(folder)
        assert () == data.check().problems
    assert [] == in_the_clear(folder)
    with opened(folder) as data:
        assert before["trades"] == data.store.get_trades()


@pytest.mark.parametrize("key", ["canary-wrong-key-0123", None])
def test_wrong_key_is_a_clear_error(folder: Path, key: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Another key, or none, is refused within a second, and no error, log line or repr shows a key."""
    caplog.set_level(logging.DEBUG)
    began = time.monotonic()
    with pytest.raises(SchemaError, match="encrypted with another key") as caught:
        _ = opened(folder, key).store
    assert time.monotonic() - began < 1
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    with opened(folder) as data:
        shown += (
            repr(data.config) + repr(data.store.backend.describe()) + repr(data.store.backend.database._pool.file.key)
        )
    assert "canary-" not in shown.lower().replace("canary-key ü'", "canary-key") or key not in shown
    assert KEY not in shown


def test_key_of_a_plain_store(tmp_path: Path) -> None:
    """A store that is not encrypted is not opened with a key, as if it were; the error says what to do."""
    with opened(tmp_path, None) as data:
        data.store.save(Quote("A", Instant(1), 1, 2))
    with pytest.raises(DatabaseError, match="is not encrypted") as caught:
        _ = opened(tmp_path).store
    assert "fpa store encrypt" in str(caught.value.hint)


def test_unfit_keys_are_refused(tmp_path: Path, key_file: Path) -> None:
    """A short key, two keys, and a file that others may read, or that is not there, are errors of the configuration."""
    cases: list[tuple[dict[str, str], str]] = [
        ({"FPA_STORE__KEY": "short"}, "fewer than 16"),
        ({"FPA_STORE__KEY": KEY, "FPA_STORE__KEY_FILE": str(key_file)}, "both set"),
        ({"FPA_STORE__KEY_FILE": str(tmp_path / "nowhere")}, "cannot be read"),
    ]
    for values, message in cases:
        with pytest.raises(ConfigError, match=message):
            _ = opened(tmp_path, None, **values).store
    if os.name == "posix":
        key_file.chmod(0o640)
        with pytest.raises(ConfigError, match="may be read by others"):
            _ = opened(tmp_path, None, FPA_STORE__KEY_FILE=str(key_file)).store
    assert not (tmp_path / "test.db").exists()


def test_backups_keep_the_encryption(folder: Path) -> None:
    """A backup of an encrypted store is encrypted with the same key, verified with it, and restored."""
    with opened(folder) as data:
        before = read_all(data.store)
        made = data.operations.backup()
        assert data.operations.verify(made.path).manifest == made.manifest
        first, last = data.operations.compact()
        assert 0 < last.bytes <= first.bytes
        assert before == read_all(data.store)
        assert data.operations.plan().version == made.manifest.schema
        data.store.save(Quote("LATER", Instant(1), 1, 2))
        data.operations.restore(made.path, replace=True)
        assert before == read_all(data.store)
    assert [] == [name for name in in_the_clear(folder) if not name.endswith(".json")]
    with opened(folder, "canary-wrong-key-0123") as data, pytest.raises(SchemaError, match="another key"):
        data.operations.verify(made.path)


def test_reading_only(folder: Path) -> None:
    """An encrypted store is read without writing, too."""
    before = (folder / "test.db").read_bytes()
    with opened(folder, FPA_STORE__READ_ONLY="true") as data:
        assert 1 == data.select(Quote, CANARY).count()
        with pytest.raises(DatabaseError, match="opened for reading only"):
            data.store.save(Quote("A", Instant(1), 1, 2))
    assert FILES == {path.name for path in folder.iterdir()}
    assert before == (folder / "test.db").read_bytes()


def test_encrypt_rotate_decrypt(tmp_path: Path, key_file: Path) -> None:
    """A store is encrypted, gets another key, and is decrypted; each time it holds the same, and the key before opens it no more."""
    folder = tmp_path / "store"
    with opened(folder, None) as data:
        fill(data.store)
        data.store.save(Quote(CANARY, Instant(1), 1, 2))
        before = read_all(data.store)
        with pytest.raises(DatabaseError, match="has no key"):
            data.operations.encrypt()
    assert ["test.db"] == in_the_clear(folder)

    with opened(folder) as data:
        data.operations.encrypt()
        assert before == read_all(data.store)
        with pytest.raises(DatabaseError, match="encrypted already"):
            data.operations.encrypt()
    assert (FILES, []) == ({path.name for path in folder.iterdir()}, in_the_clear(folder))

    with opened(folder) as data:
        data.operations.rekey(key_file)
    with opened(folder, None, FPA_STORE__KEY_FILE=str(key_file)) as data:
        assert before == read_all(data.store)
        assert () == data.check().problems
    assert (FILES, []) == ({path.name for path in folder.iterdir()}, in_the_clear(folder))
    with pytest.raises(SchemaError):
        _ = opened(folder).store

    with opened(folder, OTHER) as data:
        data.operations.decrypt()
    with opened(folder, None) as data:
        assert before == read_all(data.store)
        assert () == data.check().problems
        assert has_checksums(folder / "test.db")
        with pytest.raises(DatabaseError, match="it is not encrypted"):
            data.operations.decrypt()
        with pytest.raises(DatabaseError, match="it is not encrypted"):
            data.operations.rekey(key_file)


def test_damage_leaves_the_store_as_it_is(folder: Path, key_file: Path) -> None:
    """A damaged store is not rewritten: it is an error, and the file stays."""
    path = folder / "test.db"
    content = bytearray(path.read_bytes())
    for page in range(3, len(content) // 16_384):
        content[page * 16_384 + 5_000] ^= 1
    path.write_bytes(content)
    with opened(folder) as data, pytest.raises(FpaError) as caught:
        data.operations.rekey(key_file)
    assert isinstance(caught.value, (CorruptionError, DatabaseError))
    assert content == path.read_bytes()
    assert FILES == {each.name for each in folder.iterdir()}
    with contextlib.suppress(FpaError), opened(folder) as data:
        assert data.check().errors


def test_store_in_use_is_not_rewritten(folder: Path, key_file: Path) -> None:
    """A store that another program has open keeps its key."""
    with opened(folder) as other:
        assert 1 == other.select(Quote, CANARY).count()
        with opened(folder) as data, pytest.raises(DatabaseError, match="another program has the database open"):
            data.operations.rekey(key_file)
        other.store.save(Quote("LATER", Instant(1), 1, 2))
    with opened(folder) as data:
        assert 1 == data.select(Quote, "LATER").count()


def test_backup_before_a_migration_is_encrypted(folder: Path) -> None:
    """The backup that a migration makes has the key of the store."""
    path, key = folder / "test.db", Key(KEY)
    steps = known_migrations()
    connection = open_file(str(path), 6, key)
    backup = migrate(connection, path, [*steps, Migration(len(steps) + 1, "more", "SELECT 1;")], key=key)
    connection.close()
    assert backup is not None
    assert [] == in_the_clear(folder)
    verified_copy(backup, folder / "copy", key)


def test_key_is_masked(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No command shows the key."""
    for name, value in environ(folder).items():
        monkeypatch.setenv(name, value)
    for command in (
        ["config", "show"],
        ["config", "show", "--json"],
        ["store", "stats"],
        ["store", "check"],
        ["inventory"],
    ):
        with pytest.raises(SystemExit) as end:
            main(command)
        assert not end.value.code
    printed = capsys.readouterr()
    assert "canary" not in (printed.out + printed.err).replace(CANARY, "")
    assert "***" in printed.out


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands make a key, encrypt, change the key and decrypt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quotes.csv").write_text(f"symbol,timestamp,bid,ask\n{CANARY},2024-05-01T14:30:00Z,1,2\n")

    def run(*arguments: str, key: str | None = None) -> Any:
        monkeypatch.delenv("FPA_STORE__KEY_FILE", raising=False)
        if key:
            monkeypatch.setenv("FPA_STORE__KEY_FILE", key)
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return end.value.code or 0

    assert 0 == run("ingest", "quotes.csv")
    assert [0, 0] == [run("store", "new-key", name) for name in ("one.key", "two.key")]
    assert 7 == run("store", "new-key", "one.key")
    if os.name == "posix":
        assert 0o600 == (tmp_path / "one.key").stat().st_mode & 0o777
    assert 0 == run("store", "encrypt", key="one.key")
    assert 5 == run("inventory", key="two.key")
    assert 0 == run("store", "rekey", "--new-key-file", "two.key", key="one.key")
    assert 5 == run("inventory", key="one.key")
    assert 0 == run("store", "check", key="two.key")
    assert CANARY.encode() not in (tmp_path / "portfolio.db").read_bytes()
    assert 0 == run("store", "decrypt", key="two.key")
    assert 0 == run("inventory")
    printed = capsys.readouterr()
    assert (tmp_path / "one.key").read_text().strip() not in printed.out + printed.err


def test_other_stores_refuse() -> None:
    """A store that is not a file is not encrypted here."""
    with open_layer(":memory:") as data:
        for call in (data.operations.encrypt, data.operations.decrypt, lambda: data.operations.rekey("x")):
            with pytest.raises(DatabaseError, match="is not a file"):
                call()


def test_options_do_not_show_the_key() -> None:
    """The repr of options and of changed options masks the key."""
    from fpa_plugins.sqlite.plugin import SqliteOptions

    options = SqliteOptions(key=KEY)
    assert "canary" not in repr(options) + repr(evolve(options, seal_rows=5))


@pytest.mark.parametrize("key", [KEY, None])
def test_plain_cache_is_told(tmp_path: Path, key: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A cache on disk, which is not encrypted, is a warning if the store is; a cache in memory is none."""
    on_disk = {"FPA_CACHE__BACKEND": "disk", "FPA_CACHE__PATH": str(tmp_path / "cache")}
    with opened(tmp_path, key, **on_disk) as data:
        _ = data.cache
    assert (key is not None) == ("is encrypted, and the cache 'disk' is not" in caplog.text)
    caplog.clear()
    with opened(tmp_path, key) as data:
        _ = data.cache
    assert "is encrypted" not in caplog.text


def test_acts_are_in_the_audit_log(folder: Path, key_file: Path) -> None:
    """Changing the key and decrypting are recorded in the store itself and in its anchor, and the log stays sound."""
    with opened(folder) as data:
        data.operations.rekey(key_file)
    with opened(folder, None, FPA_STORE__KEY_FILE=str(key_file)) as data:
        data.operations.decrypt()
    with opened(folder, None) as data:
        actions = [entry.action for entry in data.operations.audit_log()]
        assert ["rekey", "decrypt"] == actions[-2:]
        assert data.operations.verify_audit_log().is_sound
    with opened(folder) as data:
        data.operations.encrypt()
        assert "encrypt" == [entry.action for entry in data.operations.audit_log()][-1]
        assert () == data.operations.verify_audit_log().problems

"""The disk cache: nothing in the folder is ever run or followed outside it, damage is mended, processes share, waiting is bounded."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import diskcache
import pytest

from fpa_core.cache import DataCache, Miss, MissReason
from fpa_core.exceptions import CacheError, MissingDependencyError
from fpa_core.protocols import Capability, Entry
from fpa_plugins.disk import cache as module
from fpa_plugins.disk import database as database_module
from fpa_plugins.disk import plugin
from fpa_plugins.disk.cache import DiskCache
from fpa_plugins.disk.folder import ENTRIES, wipe
from fpa_plugins.disk.framing import pack, unpack
from fpa_plugins.disk.safe import SafeDisk

posix_only = pytest.mark.skipif(os.name != "posix", reason="folders have owners and modes on POSIX")
LARGE = b"x" * 100_000


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cache(folder):
    made = DiskCache(folder, timeout=2)
    yield made
    made.close()


def entry(value=b"value", **more):
    return Entry(value, 4e9, 4.1e9, **more)


def database(folder):
    return folder / ENTRIES / "cache.db"


def execute(folder, query, *values):
    """Change the database behind the cache's back."""
    connection = apsw.Connection(str(database(folder)))
    connection.execute(query, values).fetchall()
    connection.close()


class Bomb:
    """What an attacker would leave: unpickling it makes a file."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_the_plugin_makes_it(folder):
    """The options reach the cache, which says what it can do."""
    offered = []
    plugin.fpa_register_caches(lambda *offer: offered.append(offer))
    assert [("disk", plugin.create, plugin.DiskOptions)] == offered
    made = plugin.create(plugin.DiskOptions(str(folder), timeout=1.0))
    assert {Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES} == made.capabilities
    made.close()


@pytest.mark.parametrize("options", [{"max_bytes": 1}, {"timeout": 0}], ids=repr)
def test_impossible_options_are_refused(options):
    """A cache without room or patience is not made."""
    with pytest.raises(ValueError, match="must be"):
        plugin.DiskOptions(**options)


def test_a_missing_diskcache_says_how_to_get_it(monkeypatch):
    """Without the package the error names the command that installs it; another missing module stays what it is."""
    for name in ("cache", "database"):
        monkeypatch.delitem(sys.modules, f"fpa_plugins.disk.{name}")
    monkeypatch.setitem(sys.modules, "diskcache", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        plugin.create(plugin.DiskOptions())
    monkeypatch.undo()
    for name in ("cache", "database"):
        monkeypatch.delitem(sys.modules, f"fpa_plugins.disk.{name}")
    monkeypatch.setitem(sys.modules, "fpa_plugins.disk.framing", None)
    with pytest.raises(ModuleNotFoundError):
        plugin.create(plugin.DiskOptions())


@pytest.mark.parametrize("value", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_entries_round_trip(cache, value):
    """Times and tags come back with the value, inline or in a file."""
    for number, given in enumerate([Entry(value, 4e9), Entry(value, 4e9, 4.1e9, 4.2e9, 0, {"é:t": 7, "u": -1})]):
        cache.put(str(number), given)
        got = cache.get(str(number))
        assert (given.value, given.stored_at, given.expires_at, given.keep_until, given.tags) == (
            got.value, got.stored_at, got.expires_at, got.keep_until, got.tags,
        )  # fmt: skip


@pytest.mark.parametrize(
    "content", [b"", b"FPE\x01", pack(entry())[1:], pack(entry(b"", tags={"tag": 1}))[:-9]], ids=repr
)
def test_other_frames_are_no_entries(content):
    """Bytes that were not framed here are not an entry."""
    assert unpack(content) is None


def test_entries_outlive_the_process(folder):
    """What one cache stored, the next one on the folder reads; invalidations are kept too."""
    with DataCache(DiskCache(folder)) as cache:
        cache.set("k", [1], tags=["t"])
        cache.set("other", 2, tags=["u"])
        cache.invalidate_tags("u")
    with DataCache(DiskCache(folder)) as cache:
        assert cache.get("k") == [1]
        assert cache.lookup("other") == Miss(MissReason.INVALIDATED)


def test_clearing_keeps_generations(cache):
    """After clearing, entries made before an invalidation stay invalid."""
    fence = cache.generations(["t"])
    cache.bump(["t"])
    cache.put("k", entry())
    assert cache.clear() == 1
    assert not cache.put("k", entry(), fence=fence)
    assert cache.generations([]) == {}


def test_generations_are_bounded(cache, monkeypatch):
    """When there are too many, a purge forgets all, and nothing that was invalid revives."""
    monkeypatch.setattr(module, "MAX_GENERATIONS", 3)
    old = cache.generations(["t"])
    cache.bump(["a", "b", "c", "t"])
    bumped = cache.generations(["t"])
    cache.purge(0)
    assert cache.generations(["t"]) not in (old, bumped)
    assert cache.generations(["a"])["a"] == cache.generations(["t"])["t"]


def test_an_oversize_value_is_refused(folder):
    """A value larger than the cache is not kept, and the older one is gone."""
    cache = DiskCache(folder, max_bytes=2**20)
    cache.put("k", entry())
    assert not cache.put("k", entry(b"x" * 2**20))
    assert cache.get("k") is None
    assert cache.usage().evicted == {"oversize": 1}
    cache.close()


def test_the_folder_stays_within_its_size(folder):
    """As values are written the oldest go."""
    cache = DiskCache(folder, max_bytes=2**20)
    for number in range(100):
        cache.put(str(number), entry(LARGE))
    assert cache.usage().bytes < 2 * 2**20
    assert cache.get("0") is None
    assert cache.get("99") is not None
    cache.close()


def test_many_keys_are_listed_in_pages(cache, monkeypatch):
    """Keys are listed by prefix, however many there are, and none of another prefix."""
    monkeypatch.setattr(module, "PAGE", 3)
    for number in range(10):
        cache.put(f"a:{number}", entry())
        cache.put(f"b:{number}", entry())
    assert [f"a:{number}" for number in range(10)] == list(cache.keys("a:"))
    assert len(list(cache.keys())) == 20


def test_settings_do_not_come_from_the_folder(folder):
    """A folder made with other settings is used with these."""
    folder.mkdir()
    (folder / "CACHEDIR.TAG").touch()
    diskcache.Cache(str(folder / ENTRIES), statistics=1, eviction_policy="least-recently-used", size_limit=5).close()
    cache = DiskCache(folder)
    inner = cache._database._open()
    assert (inner.statistics, inner.eviction_policy, inner.size_limit) == (0, "least-recently-stored", 2**30)
    cache.close()


def test_the_log_is_written_by_a_sqlite_without_the_defect(cache):
    """Readers do not wait, thanks to a write-ahead log; the SQLite that writes it is not the standard library's but a current one."""
    connection = cache._database._open()._con
    (((mode,),), ((version,),)) = (
        connection.execute(f"{what}").fetchall() for what in ("PRAGMA journal_mode", "SELECT sqlite_version()")
    )
    assert mode == "wal"
    assert version == apsw.sqlite_lib_version()
    assert tuple(map(int, version.split("."))) >= (3, 51, 3)


# What somebody else may have put into the folder


def test_a_pickle_is_never_loaded(cache, folder, tmp_path):
    """Pickles planted as value, as file, and as key do nothing, and are misses or not there."""
    target = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(target))
    for key in ("inline", "file", "text"):
        cache.put(key, entry())
    execute(folder, "UPDATE Cache SET mode = 4, value = ? WHERE key = 'inline'", bomb)
    (folder / ENTRIES / "bomb.val").write_bytes(bomb)
    execute(folder, "UPDATE Cache SET mode = 4, value = NULL, filename = 'bomb.val' WHERE key = 'file'")
    execute(folder, "UPDATE Cache SET mode = 3, value = NULL, filename = 'bomb.val' WHERE key = 'text'")
    execute(folder, "INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 1, ?)", bomb, b"x")
    for key in ("inline", "file", "text"):
        assert cache.get(key) is None
    assert set(cache.keys()) == {"inline", "file", "text"}
    cache.purge(5e9)
    assert cache.clear() > 0
    assert not target.exists()


def test_a_pickle_under_a_valid_frame_is_a_counted_miss(folder, tmp_path):
    """Bytes that are no envelope of ours are a miss with a reason."""
    target = tmp_path / "executed"
    backend = DiskCache(folder)
    with DataCache(backend) as cache:
        backend.put("fpa:k", Entry(pickle.dumps(Bomb(target)), 0.0))
        assert cache.lookup("k") == Miss(MissReason.UNDECODABLE)
        assert cache.get_stats().undecodable == 1
        assert cache.get_or_load("k", lambda: 1) == 1
        assert cache.get("k") == 1
    assert not target.exists()


@pytest.mark.parametrize("how", ["absolute", "parent", "link", "nul"])
def test_files_outside_are_neither_read_nor_deleted(cache, folder, tmp_path, how):
    """A row that points outside the folder is a miss, and replacing or deleting it leaves the file alone."""
    secret = tmp_path / "secret.val"
    secret.write_bytes(pack(entry(b"secret")))
    name = {"absolute": str(secret), "parent": "../../secret.val", "link": "link.val", "nul": "\0.val"}[how]
    if how == "link":
        (folder / ENTRIES / name).symlink_to(secret)
    for key in ("read", "replaced", "deleted"):
        cache.put(key, entry())
        execute(folder, "UPDATE Cache SET mode = 2, value = NULL, filename = ? WHERE key = ?", name, key)
    assert cache.get("read") is None
    cache.put("replaced", entry())
    cache.delete("deleted")
    cache.clear()
    assert secret.exists()


def test_the_disk_takes_only_its_own_types(folder):
    """Keys that are no text and values that are no bytes never get as far as the database."""
    disk = SafeDisk(str(folder))
    with pytest.raises(TypeError, match="text"):
        disk.put(5)
    with pytest.raises(CacheError, match="Unicode"):
        disk.put("\ud800")
    with pytest.raises(TypeError, match="bytes"):
        disk.store("text", read=False)
    assert disk.get("k", 1) == "k"
    for key, raw in ((b"k", 1), ("k", 0)):
        with pytest.raises(OSError, match="not text"):
            disk.get(key, raw)


def test_senseless_settings_in_the_folder_are_damage(folder):
    """Settings that no version wrote do not stop the cache."""
    DiskCache(folder).close()
    execute(folder, "INSERT INTO Settings VALUES ('disk_evil', 1)")
    cache = DiskCache(folder)
    assert cache.put("k", entry())
    assert cache.usage().evicted["rebuilt"] == 1
    cache.close()


# Damage


def spoil_garbage(folder):
    database(folder).write_bytes(b"no database at all" * 1000)


def spoil_middle(folder):
    content = bytearray(database(folder).read_bytes())
    content[200:] = b"\xff" * (len(content) - 200)
    database(folder).write_bytes(content)


SPOILERS = {
    "garbage": spoil_garbage,
    "middle": spoil_middle,
    "no table": lambda folder: execute(folder, "DROP TABLE Cache"),
    "no generations": lambda folder: execute(folder, "DROP TABLE Generations"),
    "no first generation": lambda folder: execute(folder, "DELETE FROM Generations"),
}


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_a_damaged_folder_is_dropped_and_made_anew(folder, spoil, reopened):
    """Damage costs the entries, never an error; it is counted, and afterwards the cache works."""
    backend = DiskCache(folder)
    cache = DataCache(backend)
    cache.set("large", LARGE)
    if reopened:
        backend.close()
    spoil(folder)
    if reopened:
        cache = DataCache(DiskCache(folder))
    cache.invalidate_tags("t")
    assert cache.get_or_load("k", lambda: 5, tags=["t"]) == 5
    assert cache.get("k") == 5
    assert cache.get_stats().entries >= 1
    cache.close()


def test_a_key_that_is_no_text_is_damage(folder):
    """A key whose bytes were changed to something else costs the entries, never an error."""
    cache = DiskCache(folder)
    assert cache.put("k", entry())
    execute(folder, "UPDATE Cache SET key = CAST(x'ff6b' AS TEXT)")
    assert list(cache.keys()) == []
    assert cache.usage().evicted["rebuilt"] == 1
    assert cache.put("k", entry())
    assert list(cache.keys()) == ["k"]
    cache.close()


def test_a_folder_that_was_removed_is_made_anew(cache, folder):
    """Removing the folder under a running cache empties the cache."""
    shutil.rmtree(folder)
    assert cache.get("k") is None
    assert cache.put("k", entry())
    assert cache.get("k") is not None


def test_generations_of_a_lost_folder_do_not_stand_in_the_new_one(cache, folder):
    """A load that began before the folder was lost is not kept in the one made since."""
    fence = cache.generations(["t"])
    database(folder).unlink()
    assert not cache.put("k", entry(), fence=fence)


def test_rebuilding_deletes_only_what_is_the_caches(folder):
    """Files that somebody keeps in the folder survive its rebuilding."""
    DiskCache(folder).close()
    (folder / "notes.txt").write_text("mine")
    spoil_garbage(folder)
    DiskCache(folder).close()
    assert (folder / "notes.txt").read_text() == "mine"


# The folder


def test_a_folder_with_other_things_is_refused(tmp_path):
    """A path that is no cache, mistyped perhaps, is left alone."""
    (tmp_path / "thesis.txt").write_text("work of years")
    with pytest.raises(CacheError, match="do not belong to a cache"):
        DiskCache(tmp_path)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    """A path that cannot be a folder is an error of this project."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be used"):
        DiskCache(tmp_path / "file")


@posix_only
def test_the_folder_is_private(folder):
    """Nobody else may enter the folder, though it was made open."""
    folder.mkdir(mode=0o755)
    DiskCache(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700


@posix_only
def test_somebody_elses_folder_is_refused(folder, monkeypatch):
    """A folder of another user is not used."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345678)
    with pytest.raises(CacheError, match="another user"):
        DiskCache(folder)


# Others


def test_waiting_for_others_is_bounded(folder):
    """While another process writes, writing waits, then raises this project's error; reading does not wait."""
    cache = DiskCache(folder, timeout=0.2)
    cache.put("k", entry())
    holder = apsw.Connection(str(database(folder)))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(CacheError, match="does not answer"):
        cache.put("k", entry(b"later"))
    assert cache.get("k").value == b"value"
    holder.execute("ROLLBACK")
    holder.close()
    assert cache.put("k", entry(b"later"))
    cache.close()


def test_rebuilding_is_one_step_for_all(folder):
    """What is rebuilt leaves no log behind that the next database would take for its own, and ends what an earlier rebuilding left."""
    cache = DiskCache(folder)
    cache.put("k", entry())
    (folder / ".gone-earlier").mkdir()
    assert {path.name for path in (folder / ENTRIES).iterdir()} >= {"cache.db", "cache.db-wal"}
    other = DiskCache(folder)
    spoil_garbage(folder)
    other.close()
    wipe(folder)
    assert {path.name for path in folder.iterdir()} == {"CACHEDIR.TAG"}
    assert cache.get("k") is None
    assert cache.put("k", entry())
    cache.close()


@posix_only
def test_entries_are_not_followed_through_a_link(folder, tmp_path):
    """A link in the place of the entries is refused: the cache would fill, and empty, the folder it leads to."""
    DiskCache(folder).close()
    shutil.rmtree(folder / ENTRIES)
    (folder / ENTRIES).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(CacheError, match="symbolic link"):
        DiskCache(folder)


def test_a_full_disk_is_an_error_of_this_project(cache, monkeypatch):
    """When a value's file cannot be written, the error says so."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SafeDisk, "_write", full)
    with pytest.raises(CacheError, match="No space"):
        cache.put("k", entry(LARGE))


def test_a_closed_cache_says_so(cache):
    """After closing, every verb is a clear error, and closing again does nothing."""
    cache.close()
    cache.close()
    with pytest.raises(CacheError, match="closed"):
        cache.get("k")


def test_threads_share_it(cache):
    """Threads write and read together; nothing is lost."""
    barrier = threading.Barrier(4)

    def work(name):
        barrier.wait(10)
        for number in range(25):
            cache.put(f"{name}:{number}", entry())
            assert cache.get(f"{name}:{number}") is not None

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cache.usage().entries == 100


def test_processes_share_it(folder):
    """An invalidation by another process is seen at once."""
    with DataCache(DiskCache(folder)) as cache:
        cache.set("tagged", 1, tags=["t"])
        cache.set("k", 1)
        code = (
            "import sys; from fpa_core.cache import DataCache; from fpa_plugins.disk.cache import DiskCache\n"
            f"cache = DataCache(DiskCache({str(folder)!r})); cache.invalidate_tags('t'); cache.set('k', cache.get('k') + 1)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
        assert cache.get("tagged") is None
        assert cache.get("k") == 2


def test_a_folder_that_others_are_opening_is_waited_for(tmp_path, monkeypatch):
    """Who meets a lock before the folder is even open tries again."""
    opened = database_module.Cache
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    attempts = [locked, None]

    def open_later(*args, **settings):
        if (error := attempts.pop(0)) is not None:
            raise error
        return opened(*args, **settings)

    monkeypatch.setattr(database_module, "Cache", open_later)
    cache = DiskCache(tmp_path / "cache")
    assert cache.usage().entries == 0
    assert attempts == []
    cache.close()

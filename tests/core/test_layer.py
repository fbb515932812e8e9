"""The data layer: how it opens, what it remembers of reads, and that no read after a write is older than the write."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

import fpa_core
from fpa_core import hookimpl
from fpa_core.arrow.conversion import to_table
from fpa_core.cache.dependencies import MANY
from fpa_core.exceptions import CacheError, ConfigError, DatabaseError, DataError, PluginError
from fpa_core.kinds import QUOTES
from fpa_core.layer import DataLayer
from fpa_core.models import Bar, Order, PortfolioSnapshot, Position, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.plugins import PluginManager
from fpa_core.plugins.registry import Registration
from fpa_core.protocols import Capability, Chunk, SourceRequest
from fpa_core.store import DataStore
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

QUOTE = Quote("A", Instant(1), "1.10", "1.20")
BAR = Bar("A", Instant(0), 1, 2, 1, 1, 5, "1m")


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataLayer]:
    """Open a data layer with the defaults in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with fpa_core.open() as data:
        yield data


def write(folder: Path, text: str) -> Path:
    path = folder / "fpa.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Scans:
    """Counts how often a backend is read, and can do something in the middle of a scan."""

    def __init__(self, layer: DataLayer) -> None:
        self.number = 0
        self.meanwhile: Any = None
        self._backend = layer.store.backend
        layer.store._rows.backend = self  # type: ignore[assignment]

    def scan(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield what the backend does."""
        self.number += 1
        batches = list(self._backend.scan(*args, **kwargs))
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return iter(batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


# Opening


def test_open_with_defaults(layer: DataLayer, tmp_path: Path) -> None:
    """Without any configuration the database lies in the current folder."""
    assert (tmp_path / "portfolio.db").is_file()
    assert (None, None, "sqlite", "memory") == (
        layer.config.path, layer.config.env, layer.config.store.backend, layer.config.cache.backend,
    )  # fmt: skip
    assert {"store", "cache", "validator"} <= vars(layer._components).keys()


def test_open_finds_the_file_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of a folder above holds, and its relative paths are relative to it."""
    path = write(tmp_path, '[store]\npath = "mine.db"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    with fpa_core.open() as data:
        assert path == data.config.path
    assert (tmp_path / "mine.db").is_file()


@pytest.mark.parametrize("how", ["argument", "environ", "variable"])
def test_open_with_an_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The overlay is chosen by the argument, the environment given, or that of the process."""
    path = write(tmp_path, '[env.test.store]\npath = "test.db"\n')
    if how == "variable":
        monkeypatch.setenv("FPA_ENV", "test")
    with fpa_core.open(
        str(path), env="test" if how == "argument" else None, environ={"FPA_ENV": "test"} if how == "environ" else None
    ) as data:
        assert "test" == data.config.env
    assert (tmp_path / "test.db").is_file()


def test_open_with_further_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that are given add to those of the process, and override them."""
    monkeypatch.setenv("FPA_CACHE__JITTER", "0.5")
    monkeypatch.setenv("FPA_CACHE__TTL", "9s")
    path = write(tmp_path, '[store]\npath = "${NAME}.db"\n')
    with fpa_core.open(path, environ={"NAME": "secret-name", "FPA_CACHE__TTL": "7s"}) as data:
        assert (7.0, 0.5) == (data.config.cache.ttl["default"], data.config.cache.jitter)
    assert (tmp_path / "secret-name.db").is_file()


def test_open_a_folder(tmp_path: Path) -> None:
    """A folder stands for the configuration in it."""
    path = write(tmp_path, '[store]\npath = "mine.db"\n')
    with fpa_core.open(tmp_path) as data:
        assert path == data.config.path


@pytest.mark.parametrize("name", ["mine.db", "mine.sqlite", "MINE.SQLITE3"])
def test_open_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A database file is opened with the defaults for all else, whatever the configuration around it says of the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPA_STORE__PATH", "process.db")
    write(tmp_path, '[store]\npath = "other.db"\n[validator]\nlevel = "strict"\n')
    with fpa_core.open(name) as data:
        assert (None, "sqlite", "standard") == (
            data.config.path,
            data.config.store.backend,
            data.config.validator.level,
        )
        data.ingest(QUOTE)
    with fpa_core.open(tmp_path / name) as data:
        assert [QUOTE] == data.select(Quote).to_list()
    assert {name, f"{name}.anchor", "fpa.toml"} == {each.name for each in tmp_path.iterdir()}


def test_open_with_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration may be given as values, with overlays, variables and secrets as in a file; keywords override them."""
    monkeypatch.chdir(tmp_path)
    values = {"store": {"path": "${NAME}.db"}, "env": {"test": {"cache": {"ttl": "3s"}}}}
    with fpa_core.open(config=values, env="test", environ={"NAME": "mine"}, cache__jitter=0.25) as data:
        assert (3.0, 0.25) == (data.config.cache.ttl["default"], data.config.cache.jitter)
        assert (tmp_path / "mine.db").is_file()
    with fpa_core.open(config=values, environ={"NAME": "mine"}, store__path=tmp_path / "keyword.db"):
        assert (tmp_path / "keyword.db").is_file()
    with pytest.raises(ConfigError, match=r"store.pth.*did you mean path"):
        fpa_core.open(":memory:", store__backend="sqlite", store__pth="x.db")
    with pytest.raises(TypeError, match="unexpected keyword argument 'lasy'"):
        fpa_core.open(":memory:", lasy=True)
    with pytest.raises(ConfigError, match="conflicts with another setting"):
        fpa_core.open(":memory:", cache__ttl="1m", cache__ttl__bars="2m")
    with pytest.raises(ConfigError, match="only one of them"):
        fpa_core.open("x.db", config={})


class WatchedLock:
    """A lock that counts those who come to it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_threads_open_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that use a lazy layer at the same moment open one store, one cache and one validator."""
    monkeypatch.chdir(tmp_path)
    create, opened = Registration.create, list[str]()
    with fpa_core.open(lazy=True) as data:
        lock = data._components.lock = WatchedLock()  # type: ignore[assignment]

        def slow(registration: Registration, *args: Any) -> Any:
            if not opened:  # the first waits for the others
                assert all(lock.came.acquire(timeout=10) for _ in range(4))
            opened.append(registration.name)
            return create(registration, *args)

        monkeypatch.setattr(Registration, "create", slow)
        with ThreadPoolExecutor(4) as pool:
            parts = [pool.submit(lambda: (data.store, data.cache, data.validator, data.quarantine)) for _ in range(4)]
        found = [part.result() for part in parts]
    assert [1, 1, 1, 1] == [len({id(each) for each in same}) for same in zip(*found, strict=True)]
    assert 1 == opened.count("sqlite") == opened.count("memory")


def test_plugins_are_notified_of_every_commit(layer: DataLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each committed batch is one notification with the receipt that the caller gets; sealing is none."""
    told: list[Any] = []
    monkeypatch.setattr(
        layer.plugins, "notify", lambda hook, **given: told.append(given["receipt"]) if hook == "fpa_ingested" else None
    )
    other = evolve(QUOTE, timestamp=Instant(2))
    receipts = [
        layer.ingest([QUOTE, evolve(BAR, symbol="B", low=3)]),
        layer.store.save(other),
        layer.store.update_quote(other, evolve(other, ask="1.3")),
        layer.store.save(BAR),
        layer.store.update_bar(evolve(BAR, close=2)),
        layer.store.delete_bar(BAR),
        layer.store.delete(layer.select(Quote, end=2)),
    ]
    receipts.append(layer.store.undo(receipts[-1].batch))
    assert 1 == receipts[0].quarantined
    (rejected,) = layer.quarantine.list()
    receipts += layer.quarantine.replay(ignore_rules=[each["rule"] for each in rejected.findings])
    with layer.store.batch(origin="mine") as batch:
        batch.write_records(QUOTES, [evolve(QUOTE, symbol="B")])
    receipts.append(batch.receipt)
    layer.store.seal()
    assert receipts == told
    with contextlib.suppress(ZeroDivisionError), layer.store.batch() as batch:
        batch.write_records(QUOTES, [evolve(QUOTE, symbol="C")])
        _ = 1 / 0
    assert receipts == told
    assert [] == layer.store.get_quotes("C")


def test_the_parts_describe_themselves(tmp_path: Path) -> None:
    """The reprs of the layer and its parts are one short line without a secret, and open nothing."""
    path = write(tmp_path, '[store]\nbackend = "postgres"\ndsn = "postgresql://fpa:hunter2@nowhere/fpa"\n')
    with fpa_core.open(path, lazy=True) as data:
        assert f"<DataLayer {path}: store postgres, cache memory, validator standard>" == repr(data)
    with fpa_core.open(":memory:") as data, data.stream(origin="feed", max_delay="1h") as stream:
        assert "<DataLayer without a file: store memory, cache memory, validator standard>" == repr(data)
        assert ["<DataStore on EngineStore>", "<Quarantine of <DataStore on EngineStore>>"] == [
            repr(data.store), repr(data.quarantine),
        ]  # fmt: skip
        assert "<DataCache 'fpa' on MemoryCache>" == repr(data.cache)
        assert f"<DataValidator at level standard, {len(data.validator.rules())} rules>" == repr(data.validator)
        stream.write(QUOTE)
        assert f"<Stream 'feed', batch {stream.batch}, 1 waiting>" == repr(stream)
    assert f"<Stream 'feed', batch {stream.batch}, closed>" == repr(stream)


def test_lazy_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lazy layer opens each part when it is used."""
    monkeypatch.chdir(tmp_path)
    with fpa_core.open(lazy=True) as data:
        assert "quote.crossed" in {rule["id"] for rule in data.validator.rules()}
        assert [] == list(tmp_path.iterdir())
        assert [] == data.select(Quote).to_list()
        assert (tmp_path / "portfolio.db").is_file()
    with fpa_core.open(lazy=True):
        pass


def test_close_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed layer refuses work with a typed error; closing it twice does nothing."""
    monkeypatch.chdir(tmp_path)
    data = fpa_core.open()
    data.close()
    data.close()
    with pytest.raises(DatabaseError, match="closed"):
        data.ingest(QUOTE)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('[store]\nbackend = "sqlte"\n', ConfigError, r"did you mean sqlite\?"),
        ("[store]\npath = 5\ncolour = 1\n", ConfigError, "2 problems"),
        ("[store\n", ConfigError, "not valid TOML"),
        ('[store]\npath = "."\n', DatabaseError, "is a folder"),
        ('[plugins]\nrequired = ["acme-rules>=1.2"]\n', PluginError, "it is not installed"),
        ('[plugins]\nblock = ["sqlite"]\n', ConfigError, "plugin sqlite .*is blocked"),
        ('[cache]\nbackend = ["memory", "disk", "memory"]\n', ConfigError, "expected one cache, or two"),
        ('[cache]\nbackend = ["memory", "memory"]\n', ConfigError, "expected one cache, or two"),
        ('[cache]\nbackend = ["disk", "memory"]\n', ConfigError, "the first of two caches must keep objects"),
    ],
    ids=["backend", "two", "toml", "folder", "required", "blocked", "three caches", "twice the same", "wrong order"],
)
def test_open_says_what_is_wrong(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    """A configuration that cannot be used is a typed error that says why."""
    with pytest.raises(error, match=message):
        fpa_core.open(write(tmp_path, text))


@frozen
class NoOptions:
    """A backend without options."""


def test_a_cache_that_does_not_open_is_no_obstacle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cache that cannot be opened is a warning: records are stored, and reads go to the store."""

    def fail(_: NoOptions) -> Any:
        raise CacheError("no space left")

    class Plugin:
        @staticmethod
        @hookimpl
        def fpa_register_caches(register: Any) -> None:
            register("broken", fail, NoOptions)

    path = write(tmp_path, f'[store]\npath = "{(tmp_path / "a.db").as_posix()}"\n[cache]\nbackend = "broken"\n')
    with fpa_core.open(path, plugins=PluginManager(extra=[Plugin])) as data:
        assert 1 == data.ingest([QUOTE]).inserted
        assert [QUOTE] == data.select(Quote).to_list()
    assert "the cache has failed, and reads go to the store until it works again: no space left" in caplog.text


def test_open_fails_whole(tmp_path: Path) -> None:
    """When a part does not open, those that did are closed again."""
    opened: list[Any] = []

    def open_spied(options: SqliteOptions) -> Any:
        opened.append(open_store(options))
        return opened[-1]

    def fail(_: NoOptions, __: Any) -> Any:
        raise PluginError("no validator today")

    class Plugin:
        @staticmethod
        @hookimpl
        def fpa_register_stores(register: Any) -> None:
            register("spied", open_spied, SqliteOptions)

        @staticmethod
        @hookimpl
        def fpa_register_validators(register: Any) -> None:
            register("broken", fail, NoOptions)

    path = write(tmp_path, '[store]\nbackend = "spied"\n[validator]\nbackend = "broken"\n')
    with pytest.raises(PluginError, match="no validator today"):
        fpa_core.open(path, plugins=PluginManager(extra=[Plugin]))
    with pytest.raises(DatabaseError, match="closed"):
        opened[0].batches()


# Reads are remembered


def test_repeated_reads_come_from_the_cache(layer: DataLayer) -> None:
    """The same read a second time does not touch the store; each form of it is remembered on its own."""
    layer.ingest(QUOTE)
    scans = Scans(layer)
    selection = layer.select(Quote, "A", start=0)
    for _ in range(3):
        assert [QUOTE] == selection.to_list()
        assert 1 == selection.to_arrow().num_rows
        assert 1 == selection.count()
    assert 2 == scans.number
    assert [QUOTE] == layer.select("quotes", ["A"], start="1970-01-01").to_list()
    assert 2 == scans.number


def test_a_cached_list_is_ones_own(layer: DataLayer) -> None:
    """Changing a list that was returned does not change what the next caller gets."""
    layer.ingest(QUOTE)
    layer.select(Quote).to_list().clear()
    assert [QUOTE] == layer.select(Quote).to_list()


def test_selections_are_told_apart(layer: DataLayer) -> None:
    """Two selections that differ in anything never share an answer."""
    layer.ingest([evolve(QUOTE, timestamp=Instant(ts), bid=ts) for ts in range(4)])
    layer.ingest(evolve(QUOTE, symbol="B"))
    conditions: list[dict[str, Any]] = [
        {}, {"symbol": "A"}, {"symbol": "B"}, {"start": 2}, {"end": 2}, {"limit": 1}, {"limit": 1, "latest_first": True},
        {"latest_first": True}, {"batch": 1}, {"batch": 2}, {"bid": 3}, {"bid": None}, {"ask": "1.20"},
        {"as_known_at": layer.store.batches()[-1].recorded_ns}, {"symbol": ["A", "B"]}, {"symbol": "A", "bid": "1"},
    ]  # fmt: skip
    for _ in range(2):
        for each in conditions:
            symbol = each.get("symbol")
            rest = {name: value for name, value in each.items() if name != "symbol"}
            selection = layer.select(Quote, symbol, **rest)
            assert list(selection) == selection.to_list(), each
            assert len(list(selection)) == selection.count(), each


WRITES: dict[str, Any] = {
    "ingest": lambda layer: layer.ingest(evolve(QUOTE, timestamp=Instant(2))),
    "save": lambda layer: layer.store.save(evolve(QUOTE, timestamp=Instant(2))),
    "update": lambda layer: layer.store.update_quote(QUOTE, evolve(QUOTE, bid=9)),
    "delete one": lambda layer: layer.store.delete_quote(QUOTE),
    "delete some": lambda layer: layer.store.delete(layer.select(Quote, "A")),
    "delete all": lambda layer: layer.store.delete(layer.select(Quote)),
    "undo": lambda layer: layer.store.undo(1),
    "file": lambda layer: layer.ingest("more.csv"),
}


@pytest.mark.parametrize("act", WRITES.values(), ids=WRITES)
def test_no_read_is_older_than_a_write(layer: DataLayer, act: Any) -> None:
    """After a write returned, every remembered read of what it touched is read anew."""
    Path("more.csv").write_text("symbol,timestamp,bid,ask\nA,1970-01-01T00:00:02Z,1,2\n")
    layer.ingest(QUOTE)
    selections = [
        layer.select(Quote), layer.select(Quote, "A"), layer.select(Quote, ["A", "B"]), layer.select(Quote, "A", start=0),
        layer.select(Quote, [f"S{i}" for i in range(MANY)] + ["A"]),
    ]  # fmt: skip
    before = [(one.to_list(), one.count(), one.to_arrow().num_rows) for one in selections]
    act(layer)
    for selection, old in zip(selections, before, strict=True):
        rows = list(selection)
        assert rows != old[0]
        assert (rows, len(rows), len(rows)) == (selection.to_list(), selection.count(), selection.to_arrow().num_rows)


@pytest.mark.parametrize("act", WRITES.values(), ids=WRITES)
def test_the_latest_and_the_inventory_are_never_older_than_a_write(layer: DataLayer, act: Any) -> None:
    """What is remembered of the last record and of how much there is ends with a write that changes it."""
    Path("more.csv").write_text("symbol,timestamp,bid,ask\nA,1970-01-01T00:00:02Z,1,2\n")
    layer.ingest(QUOTE)
    plain = DataStore(layer.store.backend)
    for _ in range(2):
        assert plain.latest("A") == layer.store.latest("A")
        assert plain.inventory() == layer.store.inventory()
        act(layer)
        act = lambda _: None  # noqa: E731


def test_the_latest_and_the_inventory_are_remembered(layer: DataLayer) -> None:
    """Asking twice asks the database once, also when there is nothing; each kind has its lifetime."""
    layer.ingest(QUOTE)
    asked = lambda: [layer.store.latest("A"), layer.store.latest("missing"), layer.store.inventory("quotes")]  # noqa: E731
    first, before = asked(), layer.cache.get_stats()
    assert first == asked()
    since = layer.cache.get_stats() - before
    assert (3, 0) == (since.hits, since.misses)
    assert first[:2] == [QUOTE, None]


@pytest.mark.parametrize("backend", ['"memory"', '"disk"', '["memory", "disk"]'])
def test_threads_never_read_what_is_older_than_their_write(tmp_path: Path, backend: str) -> None:
    """Threads that write and then read, beside others that only read, each see at least what they wrote."""
    (tmp_path / "fpa.toml").write_text(f"[cache]\nbackend = {backend}\n")
    stop = threading.Event()
    stale: list[str] = []
    with fpa_core.open(tmp_path / "fpa.toml") as layer:

        def write(symbol: str) -> None:
            for number in range(1, 7):
                layer.ingest(Quote(symbol, Instant(number), 1, 2))
                last = layer.store.latest(symbol)
                rows = {extent.subject: extent.rows for extent in layer.store.inventory("quotes")}
                seen = [layer.select(Quote, symbol).count(), last.ts_ns if last else 0, rows.get(symbol, 0)]
                stale.extend(f"{symbol} {seen} after {number}" for _ in seen if min(seen) < number)

        def read() -> None:
            while not stop.is_set():
                for symbol in ("A", "B", "C"):
                    layer.select(Quote, symbol).count()
                    layer.store.latest(symbol)
                layer.store.inventory("quotes")

        readers = [threading.Thread(target=read)]
        writers = [threading.Thread(target=write, args=(symbol,)) for symbol in ("A", "A", "B", "C")]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join(60)
        stop.set()
        for thread in readers:
            thread.join(60)
    assert [] == stale


def test_two_caches_are_one(tmp_path: Path) -> None:
    """With two caches an answer comes from the near one, and in the next process from the far one; a write ends both."""
    (tmp_path / "fpa.toml").write_text('[cache]\nbackend = ["memory", "disk"]\n[cache.memory]\nmax_entries = 5\n')
    with fpa_core.open(tmp_path / "fpa.toml") as layer:
        layer.ingest(QUOTE)
        assert [QUOTE] == layer.select(Quote, "A").to_list() == layer.select(Quote, "A").to_list()
        assert (1, 1) == (layer.cache.get_stats().hits, layer.cache.get_stats().absent)
        assert 5 == layer.config.cache.options[0].max_entries
    with fpa_core.open(tmp_path / "fpa.toml") as layer:
        assert [QUOTE] == layer.select(Quote, "A").to_list()
        assert 1 == layer.cache.get_stats().hits
        layer.store.delete_quote(QUOTE)
        assert [] == layer.select(Quote, "A").to_list()


def test_the_keys_of_the_cache_section_reach_the_cache(tmp_path: Path) -> None:
    """Lifetimes, windows, jitter and the sweeper are as the file says; an impossible one is an error at its key."""
    (tmp_path / "fpa.toml").write_text(
        '[cache]\nttl = "10s"\nnegative_ttl = "1s"\njitter = 0.5\nstale_while_revalidate = "2s"\nstale_if_error = 3\n'
        'sweep_every = "1h"\n'
    )
    with fpa_core.open(tmp_path / "fpa.toml") as layer:
        rules = layer.cache._reader.lifetimes
        assert (10.0, 1.0, 0.5, 2.0, 3.0) == (
            rules.default, rules.negative, rules.jitter, rules.while_revalidate, rules.if_error
        )  # fmt: skip
        assert any(thread.name == "fpa-cache-sweeper" for thread in threading.enumerate())
    for key, value in [("jitter", "1"), ("stale_if_error", "-1"), ("sweep_every", "0"), ("negative_ttl", '"soon"')]:
        (tmp_path / "fpa.toml").write_text(f"[cache]\n{key} = {value}\n")
        with pytest.raises(ConfigError, match=rf"cache\.{key} = "):
            fpa_core.open(tmp_path / "fpa.toml")


def test_other_symbols_and_kinds_stay_cached(layer: DataLayer) -> None:
    """A write drops what it touched and nothing else."""
    layer.ingest([QUOTE, evolve(QUOTE, symbol="B"), Trade("A", Instant(1), 1, 1)])
    kept = [layer.select(Quote, "B"), layer.select(Trade, "A"), layer.select(Trade)]
    for selection in kept:
        selection.to_list()
    scans = Scans(layer)
    layer.ingest(evolve(QUOTE, timestamp=Instant(2)))
    layer.store.delete(layer.select(Quote, "A"))
    layer.ingest(QUOTE)
    for selection in kept:
        selection.to_list()
    assert 0 == scans.number


def test_a_write_that_changes_nothing_drops_nothing(layer: DataLayer) -> None:
    """A redelivery leaves the cache as it is."""
    layer.ingest(QUOTE)
    layer.select(Quote).to_list()
    scans = Scans(layer)
    assert 1 == layer.ingest(QUOTE).duplicate
    assert [QUOTE] == layer.select(Quote).to_list()
    assert 0 == scans.number


def test_snapshots_are_read_anew_when_a_position_changes(layer: DataLayer) -> None:
    """A snapshot is read with its positions, so a change of one ends what is remembered of snapshots."""
    snapshot = PortfolioSnapshot(Instant(1), 100, positions=[Position("A", 1, 1, 1)])
    layer.ingest(snapshot)
    assert [snapshot] == layer.select(PortfolioSnapshot, "default").to_list()
    position = Position("B", 1, 1, 1)
    layer.store.save_position(position, snapshot=snapshot)
    assert [evolve(snapshot, positions=[*snapshot.positions, position])] == layer.select(
        "snapshots", "default"
    ).to_list()


def test_a_read_that_a_write_overtakes_is_not_remembered(layer: DataLayer) -> None:
    """A read that began before a write and ended after it is not what later reads get."""
    layer.ingest(QUOTE)
    later = evolve(QUOTE, timestamp=Instant(2))
    scans = Scans(layer)
    scans.meanwhile = lambda: layer.store.save(later)
    assert [QUOTE] == layer.select(Quote, "A").to_list()
    assert [QUOTE, later] == layer.select(Quote, "A").to_list()


def test_many_threads_never_read_the_past(layer: DataLayer) -> None:
    """While others read, each writer finds what it has just written."""
    failures: list[str] = []
    done = threading.Event()

    def write(symbol: str) -> None:
        for ts in range(25):
            layer.store.save(evolve(QUOTE, symbol=symbol, timestamp=Instant(ts)))
            if (count := layer.select(Quote, symbol).count()) != ts + 1:
                failures.append(f"{symbol}: {count} of {ts + 1}")

    def read() -> None:
        while not done.is_set():
            layer.select(Quote, "A").to_list()
            layer.select(Quote).count()

    writers = [threading.Thread(target=write, args=(symbol,)) for symbol in "AB"]
    readers = [threading.Thread(target=read)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert [] == failures
    assert 50 == layer.select(Quote).count()


def test_the_lifetime_is_that_of_the_kind(tmp_path: Path) -> None:
    """Each kind lives as long as the configuration says."""
    path = write(tmp_path, '[cache.ttl]\ndefault = "never"\nquotes = 0\n')
    with fpa_core.open(path) as data:
        data.ingest([QUOTE, BAR])
        scans = Scans(data)
        for _ in range(2):
            data.select(Quote).to_list()
            data.select(Bar).to_list()
    assert 3 == scans.number


# Sources


@frozen
class Options:
    """Options of a source for tests; it cannot do without a *key*."""

    key: str


class Feed:
    """A source of one quote."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, options: Options) -> None:
        self.options = options

    def read(self, _: SourceRequest) -> Iterator[Chunk]:
        """Yield one quote."""
        yield Chunk(QUOTES, to_table(QUOTES, [QUOTE]), [1])


class FeedPlugin:
    """Offers the source ``feed``."""

    @staticmethod
    @hookimpl
    def fpa_register_sources(register: Any) -> None:
        """Offer it."""
        register("feed", Feed, Options)


def test_sources_get_their_options(tmp_path: Path) -> None:
    """A source is made with the options of its section, under whatever name the section has."""
    path = write(tmp_path, '[sources.mine]\nbackend = "feed"\nkey = "k"\n')
    with fpa_core.open(path, plugins=PluginManager(extra=[FeedPlugin]), lazy=True) as data:
        source = data.source("mine")
        assert isinstance(source, Feed)
        assert Options("k") == source.options
        assert [QUOTE.symbol] == [chunk.table["symbol"][0].as_py() for chunk in source.read(SourceRequest(""))]


def test_a_source_that_needs_options_says_so(tmp_path: Path) -> None:
    """A source without its options is a configuration error that names the section to add; an unknown one a plugin error."""
    with fpa_core.open(write(tmp_path, ""), plugins=PluginManager(extra=[FeedPlugin]), lazy=True) as data:
        with pytest.raises(ConfigError, match=r"the source 'feed' needs options.*\n.*add \[sources\.feed\]"):
            data.source("feed")
        with pytest.raises(PluginError, match=r"did you mean feed\?|no source"):
            data.source("fed")


# Judging


def test_validate_records_stores_nothing(layer: DataLayer) -> None:
    """Records are judged without being stored, the positions of snapshots among them."""
    snapshot = PortfolioSnapshot(Instant(1), 100, cash=0, positions=[Position("A", 2, 999, 1, current_price=1)])
    result = layer.validate([evolve(BAR, high="0.5"), QUOTE, snapshot])
    assert (4, False) == (result.rows, result.is_valid)
    assert {"bar.range", "position.value", "snapshot.total", "time.past"} == {
        finding.rule for finding in result.findings
    }
    assert layer.validate(QUOTE).is_valid
    assert [] == layer.store.batches()


def test_validate_refuses_what_is_no_record(layer: DataLayer) -> None:
    """What is no record cannot be judged."""
    with pytest.raises(DataError, match="unknown kind of record"):
        layer.validate([3])


def test_public_names() -> None:
    """Every public name can be had from the package and is listed by it; an unknown one is an AttributeError."""
    assert all(getattr(fpa_core, name) is not None for name in fpa_core.__all__)
    assert set(fpa_core.__all__) <= set(dir(fpa_core))
    with pytest.raises(AttributeError, match="has no attribute 'Candle'"):
        fpa_core.Candle  # noqa: B018
    assert Order is fpa_core.Order

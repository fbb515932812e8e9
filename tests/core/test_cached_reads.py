"""A cache or a listener that fails neither stops reads nor makes a stored batch look failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fpa_core
from fpa_core.exceptions import CacheError, DatabaseError, SourceError
from fpa_core.kinds import BARS, QUOTES
from fpa_core.layer import DataLayer
from fpa_core.layer.cached_reads import CachedReads
from fpa_core.models import Quote
from fpa_core.protocols import Query

T = 1_700_000_000_000_000_000
ONE, TWO = Quote("A", T, 1, 2), Quote("A", T + 1, 1, 2)


class Failing:
    """Makes a cache fail while it is told to."""

    def __init__(self, cache: Any, patch: pytest.MonkeyPatch) -> None:
        self.fails = False
        for name in ("get_or_load", "invalidate_tags"):
            patch.setattr(cache, name, self.failing(getattr(cache, name)))

    def failing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            if self.fails:
                raise CacheError("no space left on the cache's device")
            return method(*args, **given)

        return call


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> Iterator[tuple[DataLayer, Failing]]:
    """Open a layer whose cache can be made to fail."""
    with fpa_core.open(":memory:") as layer:
        cache = Failing(layer.cache, monkeypatch)
        reads = layer._components._cached_reads
        reads._monotonic = lambda: now[0]
        yield layer, cache


def test_a_failing_cache_leaves_reads_and_writes(
    data: tuple[DataLayer, Failing], caplog: pytest.LogCaptureFixture, now: list[float]
) -> None:
    """While the cache fails, ingests return their receipts and reads what is stored, with one warning; later answers are not old."""
    layer, cache = data
    assert 1 == layer.ingest([ONE]).inserted
    assert [ONE] == layer.select(Quote, "A").to_list()
    cache.fails = True
    with caplog.at_level(logging.WARNING, "fpa.cache"):
        assert 1 == layer.ingest([TWO]).inserted
        assert [ONE, TWO] == layer.select(Quote, "A").to_list()
        assert [ONE, TWO] == layer.select(Quote, "A").to_list()
    assert 1 == len([record for record in caplog.records if "the cache has failed" in record.message])
    cache.fails = False
    assert [ONE, TWO] == layer.select(Quote, "A").to_list()
    now[0] += 10
    assert [ONE, TWO] == layer.select(Quote, "A").to_list()
    layer.store.delete_quote(ONE)
    assert [TWO] == layer.select(Quote, "A").to_list()


def test_a_stream_goes_on_without_its_cache(data: tuple[DataLayer, Failing]) -> None:
    """Records of a stream are durable and acknowledged although the cache cannot be told of them."""
    layer, cache = data
    cache.fails = True
    with layer.stream() as stream:
        assert "stored" == stream.write(ONE).result(10)
    assert 1 == stream.receipt.inserted
    assert [ONE] == layer.select(Quote).to_list()


def test_a_listener_that_fails_is_logged(data: tuple[DataLayer, Failing], caplog: pytest.LogCaptureFixture) -> None:
    """A listener that raises after a commit hides no receipt, keeps no other listener from hearing, and is logged."""
    layer, _ = data
    heard: list[Any] = []

    def fail(_: Any) -> None:
        raise RuntimeError("oops")

    layer.store.on_change(fail)
    layer.store.on_change(heard.append)
    with caplog.at_level(logging.ERROR, "fpa.store"):
        assert 1 == layer.ingest([ONE]).inserted
    assert [{QUOTES: frozenset("A")}] == heard
    assert "oops" in caplog.text


def test_an_error_of_the_store_is_the_stores() -> None:
    """What the store raises while the cache loads an answer is raised, even if it looks like an error of the cache."""

    class Through:
        def get_or_load(self, _: str, load: Any, **__: Any) -> Any:
            return load()

    for error in (DatabaseError("gone", operation="read"), OSError("disk"), CacheError("within")):

        def fail(error: Exception = error) -> None:
            raise error

        reads = CachedReads(Through)  # type: ignore[arg-type]
        with pytest.raises(type(error)) as caught:
            reads.read("key", fail, Query(QUOTES))
        assert caught.value is error


def test_a_cache_that_cannot_be_opened_is_no_obstacle(caplog: pytest.LogCaptureFixture) -> None:
    """If the cache cannot even be opened, reads go to the store."""

    def broken() -> Any:
        raise CacheError("cannot be made")

    reads = CachedReads(broken)
    with caplog.at_level(logging.WARNING, "fpa.cache"):
        assert [1, 1] == [reads.read("key", lambda: 1, Query(QUOTES)) for _ in range(2)]
        reads.invalidate({QUOTES: None})
    assert 1 == len(caplog.records)


def test_answers_of_sources_without_a_cache(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While the cache fails, sources are asked each time, with one warning; an error of a source is the source's."""
    with fpa_core.open(":memory:") as layer:
        reads = layer._components._cached_reads
        asked: list[Any] = []

        def load(keys: Any) -> dict[str, int]:
            asked.append(list(keys))
            return dict.fromkeys([key for key in keys if key != "c"], 1)

        long = "x" * 3_000
        assert {"a": 1, long: 1} == reads.read_many(["a", long, "c"], load, 60)
        assert {"a": 1, "b": 1, long: 1} == reads.read_many(["a", "b", "c", long], load, 60)
        assert [["a", long, "c"], ["b", "c"]] == asked
        reads.remember("key", [1, 2], 60, Query(QUOTES, ("A",)))
        assert [1, 2] == reads.recall("key")
        layer.store.save(ONE)
        assert reads.recall("key") is None

        def fail(*_: Any, **__: Any) -> Any:
            raise CacheError("no space left")

        def refuse(_: Any) -> Any:
            raise SourceError("closed")

        with pytest.raises(SourceError):
            reads.read_many(["z"], refuse, 60)
        for name in ("get_or_load_many", "get", "set"):
            monkeypatch.setattr(layer.cache, name, fail)
        with caplog.at_level(logging.WARNING, "fpa.cache"):
            reads.remember("key", 1, 60, Query(QUOTES))
            assert {"a": 1} == reads.read_many(["a"], load, 60)
            assert reads.recall("key") is None
        assert 1 == len(caplog.records)


def test_a_query_of_many_symbols_is_cached(data: tuple[DataLayer, Failing]) -> None:
    """A query whose key would be too long for a cache is cached under a digest, apart from others that begin alike."""
    layer, _ = data
    layer.ingest([ONE, Quote("S0999", T, 1, 2)])
    symbols = [f"S{number:04}" for number in range(1_000)]
    answers = [layer.select(Quote, names).to_list() for names in (symbols, symbols[:-1], symbols, symbols[:-1])]
    assert [1, 0, 1, 0] == [len(answer) for answer in answers]
    stats = layer.cache.get_stats()
    assert (stats.hits, stats.absent) == (2, 2)
    assert all(len(key) < 2_000 for key in layer.cache.keys("*"))


class Feed:
    """What others change, told by a test."""

    def __init__(self) -> None:
        self.current = True

    def follow(self, on_change: Callable[[Any], None]) -> Feed:
        self.on_change = on_change
        return self

    def is_current(self) -> bool:
        return self.current


@pytest.mark.parametrize("changed", [{QUOTES: frozenset("A")}, {QUOTES: None}, None], ids=["symbol", "kind", "all"])
def test_what_others_change_is_read(data: tuple[DataLayer, Failing], changed: Any) -> None:
    """An answer ends when the store says that others changed its symbol, its kind, or anything; while it cannot know, nothing is cached."""
    layer, _ = data
    reads, feed = layer._components._cached_reads, Feed()
    reads.follow(feed.follow)
    answers = iter(range(100))

    def read() -> int:
        return reads.read("key", lambda: next(answers), Query(QUOTES, ("A",)))

    assert [0, 0] == [read(), read()]
    feed.on_change({BARS: None, QUOTES: frozenset("B")})
    assert 0 == read()
    feed.on_change(changed)
    assert [1, 1] == [read(), read()]
    feed.current = False
    assert [2, 3] == [read(), read()]
    feed.current = True
    assert 1 == read()

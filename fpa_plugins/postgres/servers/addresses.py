"""Where the server is: the DSN and the options for TLS as libpq takes them, for one host or several, and the name for messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from attrs import field, frozen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fpa_core.exceptions import DatabaseError
from fpa_plugins.postgres.options import PostgresOptions

__all__ = ["CONNECT_TIMEOUT", "Addresses", "addresses_of"]

CONNECT_TIMEOUT = 5
"""Seconds to wait for a server that does not answer, unless the DSN says otherwise."""

CONNECT_TIMEOUT_EACH = 2
"""The same for each of several hosts: another one may have taken over."""

# So that a server that is gone without a word is noticed within some ten seconds, and not after the system's quarter of an hour.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


@frozen
class Addresses:
    """Where a store is.

    :ivar name: servers and database, for messages.
    :ivar secret: the password, which no message shows.
    :ivar writing: how libpq is told to connect to the server that is written to.
    :ivar reading: the same for reading; it may be a replica.
    """

    name: str
    secret: str = field(repr=False)
    writing: str = field(repr=False)
    reading: str = field(repr=False)


def addresses_of(options: PostgresOptions) -> Addresses:
    """Return where the store of *options* is.

    :raises DatabaseError: if the DSN cannot be read, or says something else of TLS than the options.
    """
    try:
        parts = conninfo_to_dict(options.dsn)
    except psycopg.ProgrammingError:
        message = "dsn in [store] cannot be read"  # the driver's message, and so its traceback, would show all of it
        raise DatabaseError(message, hint="write postgresql://user@host:5432/database", operation="open") from None
    given = _with_tls(parts, options)
    several = "," in f"{given.get('host', '')}{given.get('hostaddr', '')}"
    defaults: dict[str, Any] = {"application_name": "fpa", **_KEEPALIVE}
    defaults["connect_timeout"] = CONNECT_TIMEOUT_EACH if several else CONNECT_TIMEOUT
    if several:
        defaults["target_session_attrs"] = "read-write"
    given = defaults | given | {"client_encoding": "UTF8"}
    writing = reading = make_conninfo("", **given)
    if options.read_from == "replica":
        writing = make_conninfo("", **given | {"target_session_attrs": "primary"})
        chosen = {"target_session_attrs": "prefer-standby", "load_balance_hosts": "random"}
        reading = make_conninfo("", **given | chosen)
    return Addresses(_name_of(parts), str(parts.get("password") or ""), writing, reading)


def _with_tls(parts: Mapping[str, Any], options: PostgresOptions) -> dict[str, Any]:
    """Return the parts of a DSN with the options for TLS.

    :raises DatabaseError: if both say something different.
    """
    given = {name: getattr(options, name) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")}
    own = {name: str(Path(value).expanduser()) for name, value in given.items() if value is not None}
    for name, value in own.items():
        if str(parts.get(name, value)) != value:
            raise DatabaseError(
                f"{name} in [store] is {value!r}, and the dsn says {parts[name]!r}",
                hint=f"write {name} in one place",
                operation="open",
            )
    return {**parts, **own}


def _name_of(parts: Mapping[str, Any]) -> str:
    """Return the servers and the database of a DSN, filled in from libpq's variables, for messages."""

    def part(name: str, variable: str) -> str:
        return str(parts.get(name) or os.environ.get(variable) or "")

    hosts = (part("host", "PGHOST") or part("hostaddr", "PGHOSTADDR") or "localhost").split(",")
    ports = (part("port", "PGPORT") or "5432").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    places = ",".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=True))
    return f"postgresql://{places}/{part('dbname', 'PGDATABASE') or part('user', 'PGUSER')}"

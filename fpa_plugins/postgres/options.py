"""The options of the store ``postgres``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration, Secret

__all__ = ["PostgresOptions"]


@frozen
class PostgresOptions:
    """Keys of ``[store]`` with ``backend = "postgres"``.

    :ivar dsn: where the database is, as ``postgresql://user:password@host:5432/database`` or in libpq's words; what it leaves out is taken from
        libpq's variables and files (``PGHOST``, ``PGPASSWORD``, ``~/.pgpass``). It is never shown.
        It may name several hosts (``host=db1,db2 port=5432,5432``): the one that can be written to is used, whichever that is by then.
    :ivar sslmode: how far TLS is insisted on, in libpq's words; ``verify-full`` checks whose server it is. None for what the DSN says.
    :ivar sslrootcert: the certificates of the authorities to trust; ``sslcert`` and ``sslkey`` that of this client, and its key.
    :ivar read_from: ``replica``: of the hosts of the DSN, prefer one that is a replica; only with *read_only*, so that nothing written depends
        on what a replica may not have yet.
    :ivar schema: the schema that holds the tables; made when missing.
    :ivar busy_timeout: how long a writer waits for another one, in seconds or as text such as ``"30s"``.
    :ivar statement_timeout: how long one statement may take, the wait for another writer aside.
    :ivar synchronous: ``full``: an acknowledged batch survives a crash of the server; ``normal``: the last moments before one may be lost.
    :ivar pool_size: idle connections kept open for reading; more are opened when needed.
    :ivar seal_rows: on closing after a write, quotes and trades of a symbol with at least so many single rows are sealed into segments.
    :ivar listen: hear of what other processes commit, on a connection of its own, so that a cache in memory has nothing they changed; without it,
        cached answers may be as old as their ``ttl``.
    :ivar read_only: change nothing, so that a replica serves as well.
    :ivar read_cache: bytes of memory for sealed rows that were read for a range of time, decoded, so that reading it again is faster; 0 for none.
    """

    dsn: str = field(default="", converter=Secret)
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: Path | None = None
    sslcert: Path | None = None
    sslkey: Path | None = None
    read_from: Literal["primary", "replica"] = "primary"
    schema: str = field(default="fpa", validator=validators.matches_re(r"[a-z_][a-z0-9_]{0,62}"))
    busy_timeout: Duration = field(default=30.0, validator=validators.ge(0))
    statement_timeout: Duration = field(default=600.0, validator=validators.gt(0))
    synchronous: Literal["full", "normal"] = "full"
    pool_size: int = field(default=4, validator=validators.ge(0))
    seal_rows: int | None = field(default=8_192, validator=validators.optional(validators.ge(1)))  # type: ignore[arg-type]
    read_cache: int = field(default=64 * 2**20, validator=validators.ge(0))
    listen: bool = True
    read_only: bool = False

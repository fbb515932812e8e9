"""The options of the cache ``redis``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from attrs import field, frozen, validators

from fpa_core.config import Duration, Secret

__all__ = ["RedisOptions"]


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _secret(value: str | None) -> str | None:
    return None if value is None else Secret(value)


@frozen
class RedisOptions:
    """Options of the ``redis`` cache.

    :ivar url: the server, as ``redis://user:password@host:6379/0``; ``rediss://`` for TLS, ``unix:///path`` for a socket. It is never shown.
    :ivar mode: ``single`` for one server; ``sentinel`` if Sentinels know which server leads: the host of *url* then is the name of the service;
        ``cluster`` for a Redis Cluster.
    :ivar hosts: as ``host:port``, the Sentinels, or further nodes of the cluster to begin with.
    :ivar prefix: what the names of all keys on the server begin with, in braces. Caches with different prefixes have nothing in common.
    :ivar timeout: seconds to wait for a connection, and for an answer.
    :ivar retry_after: seconds for which a server that failed three times in a row is left alone.
    :ivar tag_copies: for how many seconds generations of tags, kept in this process and updated by messages of the server, may be trusted
        after the last sign of life of the server; None to ask the server on each read.
    :ivar max_value_bytes: the largest value; a larger one is not stored.
    :ivar signing_key: a secret with which entries are signed; entries that are not signed with it are not read. None to sign none.
    :ivar ca_file: certificates of authorities for TLS, beside those of the system; ``cert_file`` and ``key_file`` the client's own.
    """

    url: str = field(default="redis://127.0.0.1:6379/0", converter=Secret)
    mode: Literal["single", "sentinel", "cluster"] = field(
        default="single", validator=validators.in_(["single", "sentinel", "cluster"])
    )
    hosts: tuple[str, ...] = field(
        default=(), converter=tuple, validator=validators.deep_iterable(validators.matches_re(r".+:[0-9]{1,5}"))
    )
    prefix: str = field(default="fpa", validator=validators.matches_re(r"[A-Za-z0-9_.-]{1,64}"))
    timeout: Duration = field(default=1.0, validator=validators.gt(0))
    retry_after: Duration = field(default=1.0, validator=validators.gt(0))
    tag_copies: Duration | None = field(default=None, validator=validators.optional(validators.gt(0)))
    max_value_bytes: int = field(default=64 * 2**20, validator=[validators.ge(1), validators.le(512 * 2**20 - 2**16)])
    signing_key: str | None = field(default=None, converter=_secret)
    ca_file: Path | None = field(default=None, converter=_path)
    cert_file: Path | None = field(default=None, converter=_path)
    key_file: Path | None = field(default=None, converter=_path)

    def __attrs_post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.mode == "sentinel" and not self.hosts:
            raise ValueError('mode = "sentinel" needs hosts = ["host:26379", ...]')
        if self.mode == "single" and self.hosts:
            raise ValueError('hosts are for mode = "sentinel" and mode = "cluster"')
        if self.signing_key is not None and len(self.signing_key) < 16:
            raise ValueError("signing_key must have at least 16 characters")

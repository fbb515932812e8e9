"""The driver's client for a single server, for the leader that Sentinels name, or for a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fpa_core.exceptions import CacheError
from fpa_plugins.redis.options import RedisOptions

__all__ = ["make_client", "name_of", "secrets_of"]

# Parts of the driver whose types are incomplete.
_parse_url: Any = redis.connection.parse_url
_sentinel: Any = redis.Sentinel
_cluster_node: Any = redis.cluster.ClusterNode


def make_client(options: RedisOptions, connected: Callable[[], None]) -> Any:
    """Return a client that calls *connected* for each connection it makes. A cluster is asked for its nodes at once, others on first use.

    :raises CacheError: if the URL cannot be read.
    """
    settings: dict[str, Any] = _parsed(options.url)
    # RESP 2 is what all servers speak. A connection that was lost while it was idle is made again, once.
    settings |= {
        "socket_timeout": options.timeout,
        "socket_connect_timeout": options.timeout,
        "socket_keepalive": True,
        "protocol": 2,
    }
    if settings.pop("connection_class", None) is not None or options.url.startswith("rediss:"):
        settings |= _tls(options)
    if "path" in settings:  # a socket of this machine
        if options.mode != "single":
            raise CacheError("url in [cache] names a socket, which is for one server", hint="write redis://host:6379")
        settings.pop("socket_keepalive")
        settings["unix_socket_path"] = settings.pop("path")
    if options.mode == "cluster":
        settings.pop("db", None)
        first = (settings.pop("host", "localhost"), settings.pop("port", 6379))
        nodes = [_cluster_node(*node) for node in (first, *map(_address, options.hosts))]
        return redis.RedisCluster(
            startup_nodes=nodes, retry=Retry(NoBackoff(), 1), redis_connect_func=lambda _: connected(), **settings
        )

    def on_connect(connection: Any) -> None:
        connection.on_connect()
        connected()

    settings |= {
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        "redis_connect_func": on_connect,
    }
    if options.mode == "single":
        return redis.Redis(**settings)
    service = settings.pop("host", "mymaster")
    settings.pop("port", None)
    of_sentinels = {name: value for name, value in settings.items() if name.startswith(("socket_", "ssl", "protocol"))}
    of_sentinels["retry"] = Retry(
        NoBackoff(), 0
    )  # there are others to ask, and by default the driver waits for seconds
    sentinels = _sentinel([_address(host) for host in options.hosts], sentinel_kwargs=of_sentinels, **settings)
    return sentinels.master_for(service)


def _tls(options: RedisOptions) -> dict[str, Any]:
    files = {"ssl_ca_certs": options.ca_file, "ssl_certfile": options.cert_file, "ssl_keyfile": options.key_file}
    return {"ssl": True} | {name: str(file) for name, file in files.items() if file is not None}


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name.strip("[]"), int(port)


def _parsed(url: str) -> dict[str, Any]:
    try:
        return dict(_parse_url(str(url)))
    except ValueError:
        # The driver's message, and so its traceback, might show the password.
        problem = "url in [cache] cannot be read"
        raise CacheError(problem, hint="write redis://user:password@host:6379/0, rediss:// for TLS") from None


def name_of(options: RedisOptions) -> str:
    """Return the server as messages name it: without user and password."""
    parts = _parsed(options.url)
    if "path" in parts:
        return f"unix://{parts['path']}"
    address = f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"
    return {
        "single": f"redis://{address}/{parts.get('db', 0)}",
        "sentinel": f"redis service {parts.get('host', 'mymaster')} of {', '.join(options.hosts)}",
        "cluster": f"redis cluster at {', '.join((address, *options.hosts))}",
    }[options.mode]


def secrets_of(options: RedisOptions) -> list[str]:
    """Return what no message may show."""
    password = _parsed(options.url).get("password")
    return [str(one) for one in (options.url, password, options.signing_key) if one]

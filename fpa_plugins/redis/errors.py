"""The driver's errors as errors of this project, without credentials."""

from __future__ import annotations

from typing import NoReturn

from redis import exceptions

from fpa_core.config import redact
from fpa_core.exceptions import CacheError

__all__ = ["raise_ours", "unreachable"]

_LOST = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.RedisClusterException,
    exceptions.ClusterError,
    OSError,
)


def unreachable(error: Exception) -> bool:
    """Return whether *error* says that the server does not answer, rather than that it refuses a command."""
    return isinstance(error, _LOST)


def raise_ours(error: Exception, server: str, secrets: list[str]) -> NoReturn:
    """Raise *error* as an error of this project, of which *error* is the cause unless it shows a secret."""
    text = str(error).strip() or type(error).__name__
    shown = redact(text, secrets)
    hint = None
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        problem, hint = f"refused the login: {shown}", "check user and password of url in [cache]"
    elif isinstance(error, exceptions.NoPermissionError) or "NOPERM" in text or "can't run this command" in text:
        problem = f"does not let this user do it: {shown}"
        hint = "allow +mget +set +get +getrange +strlen +unlink +scan +evalsha +eval +info, and ~{prefix}*"
    elif isinstance(error, exceptions.OutOfMemoryError) or "OOM command not allowed" in text:  # the latter in a script
        problem = f"is full: {shown}"
        hint = "give the server a maxmemory-policy that evicts, such as allkeys-lru"
    elif isinstance(error, exceptions.TimeoutError):
        problem, hint = f"did not answer in time: {shown}", "raise timeout in [cache] if the server is only slow"
    elif unreachable(error):
        problem = f"cannot be reached: {shown}"
    else:
        problem = f"failed: {shown}"
    raise CacheError(f"the cache {server} {problem}", hint=hint) from (error if shown == text else None)

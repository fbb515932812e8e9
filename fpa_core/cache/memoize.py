"""Cache the results of functions, for :meth:`DataCache.cached`."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from fpa_core.cache.codec import encode
from fpa_core.cache.keys import make_key
from fpa_core.cache.ttl import Ttl, Unset

if TYPE_CHECKING:
    from fpa_core.cache.verbs import LoadingVerbs

__all__ = ["memoize"]

F = TypeVar("F", bound=Callable[..., Any])


def memoize(
    cache: LoadingVerbs,
    function: F,
    *,
    ttl: Ttl | Unset,
    tags: Iterable[str] | Callable[..., Iterable[str]],
    kind: str | None,
) -> F:
    """Wrap *function*, or coroutine function, so that calls with equal arguments are answered from *cache*.

    The wrapper has ``key(...)``, the cache key of those arguments, and ``invalidate(...)``, which deletes their result.
    """
    signature = inspect.signature(function)
    name = f"{function.__module__}.{function.__qualname__}"

    def key(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()  # so that f(1), f(x=1) and a default of 1 share a key
        arguments = [bound.args, sorted(bound.kwargs.items())]
        return make_key(name, hashlib.sha256(encode(arguments)).hexdigest()[:32])

    def tags_of(*args: Any, **kwargs: Any) -> Iterable[str]:
        return tags(*args, **kwargs) if callable(tags) else tags

    wrapper: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def awrapper(*args: Any, **kwargs: Any) -> Any:
            return await cache.aget_or_load(
                key(*args, **kwargs),
                functools.partial(function, *args, **kwargs),
                ttl=ttl,
                tags=tags_of(*args, **kwargs),
                kind=kind,
            )

        wrapper = awrapper
    else:

        def swrapper(*args: Any, **kwargs: Any) -> Any:
            return cache.get_or_load(
                key(*args, **kwargs),
                functools.partial(function, *args, **kwargs),
                ttl=ttl,
                tags=tags_of(*args, **kwargs),
                kind=kind,
            )

        wrapper = swrapper

    wrapped: Any = functools.wraps(function)(wrapper)
    wrapped.key = key
    wrapped.invalidate = lambda *args, **kwargs: cache.delete(key(*args, **kwargs))
    result: F = wrapped
    return result

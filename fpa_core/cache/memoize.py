"""Cache the results of functions, for :meth:`DataCache.cached`."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from fpa_core.cache.codec import encode
from fpa_core.cache.keys import make_key

__all__ = ["memoize"]

F = TypeVar("F", bound=Callable[..., Any])


def memoize(
    function: F,
    *,
    load: Callable[..., Any],
    aload: Callable[..., Awaitable[Any]],
    delete: Callable[[str], bool],
    tags: Iterable[str] | Callable[..., Iterable[str]],
) -> F:
    """Wrap a function or coroutine function so that calls with equal arguments are answered from a cache.

    :param load: ``get_or_load`` of the cache, called with the key, the loader and ``tags``; *aload* is ``aget_or_load``.
    :param delete: deletes a key.
    :param tags: the tags, or a function from the call's arguments to them.

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
            loader = functools.partial(function, *args, **kwargs)
            return await aload(key(*args, **kwargs), loader, tags=tags_of(*args, **kwargs))

        wrapper = awrapper
    else:

        def swrapper(*args: Any, **kwargs: Any) -> Any:
            return load(
                key(*args, **kwargs), functools.partial(function, *args, **kwargs), tags=tags_of(*args, **kwargs)
            )

        wrapper = swrapper

    wrapped: Any = functools.wraps(function)(wrapper)
    wrapped.key = key
    wrapped.invalidate = lambda *args, **kwargs: delete(key(*args, **kwargs))
    result: F = wrapped
    return result

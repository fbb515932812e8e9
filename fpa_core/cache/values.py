"""Values kept by reference: no caller can change what another one will read.

What cannot change (records, text, numbers, Arrow tables, tuples of these) is shared. Lists and dicts are copied when they are put and
each time they are handed out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from sys import getsizeof
from typing import Any, Final

from attrs import frozen

from fpa_core.envelope import is_arrow_table
from fpa_core.exceptions import CacheError
from fpa_core.kinds import KINDS

__all__ = ["SIZES", "UNREADABLE", "Held", "bare", "give", "hold"]

UNREADABLE: Final = object()
"""Stands for a value whose bytes could not be decoded, where a backend decodes them itself."""

_RECORDS: Final = frozenset(kind.record for kind in KINDS.values())
_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes, Decimal, datetime}) | _RECORDS

RECORD_BYTES = 800
"""What a record counts for in memory: its slots and the decimals in them, about."""

SIZES: Final = dict.fromkeys(_LEAVES, 0) | dict.fromkeys(_RECORDS, RECORD_BYTES) | {int: 32, float: 24, bool: 28}
"""Bytes of what cannot change, by type, about; 0 where they differ from value to value."""


@frozen
class Held:
    """A value with containers in it, and how to copy it."""

    value: Any
    copy: Callable[[Any], Any]


def hold(value: Any) -> tuple[Any, int]:
    """Return *value* as it may be kept, and about how many bytes it takes.

    :raises CacheError: when no backend could keep it, so that a program does not come to depend on one that happens to.
    """
    kind = type(value)
    if (size := SIZES.get(kind)) is not None:
        return value, size or getsizeof(value)
    if kind in (list, tuple) and _LEAVES.issuperset(kinds := set(map(type, value))):
        # Equal types are of about equal size, and a sum over all would cost more than the copy.
        size = getsizeof(value) + (len(value) * max(_sample(value, kinds), 8) if value else 0)
        return (value if kind is tuple else Held(list(value), list.copy)), size
    if is_arrow_table(value):
        return value, value.nbytes
    try:
        return Held(_deep_copy(value), _deep_copy), _deep_size(value)
    except RecursionError:
        raise CacheError("a value that is nested too deeply, or contains itself, cannot be cached") from None


def give(held: Any) -> Any:
    """Return the caller's own copy of what :func:`hold` returned."""
    return held.copy(held.value) if type(held) is Held else held


def bare(held: Any) -> Any:
    """Return the value in what :func:`hold` returned, not to be changed."""
    return held.value if type(held) is Held else held


def _sample(value: list[Any] | tuple[Any, ...], kinds: set[type[Any]]) -> int:
    return RECORD_BYTES if not kinds.isdisjoint(_RECORDS) else max(getsizeof(value[0]), getsizeof(value[-1]))


def _deep_copy(value: Any) -> Any:
    kind = type(value)
    if kind in _LEAVES or is_arrow_table(value):
        return value
    if kind is list:
        return [_deep_copy(each) for each in value]
    if kind is tuple:
        return tuple(map(_deep_copy, value))
    if kind is dict:
        return {_deep_copy(key): _deep_copy(each) for key, each in value.items()}
    raise CacheError(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be cached",
        hint="cache records, lists of them, Arrow tables, bytes, Decimal, datetime, or what JSON can say",
    )


def _deep_size(value: Any) -> int:
    kind = type(value)
    if kind is dict:
        return getsizeof(value) + sum(_deep_size(key) + _deep_size(each) for key, each in value.items())
    if kind in (list, tuple):
        return getsizeof(value) + sum(map(_deep_size, value))
    return RECORD_BYTES if kind in _RECORDS else getsizeof(value)

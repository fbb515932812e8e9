"""Values kept by reference, so that no caller can change what another one reads.

Immutable values (records, text, numbers, Arrow tables, tuples of these) are shared. Lists and dicts are copied when they are stored and
each time they are returned.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from sys import getsizeof
from typing import Any, Final

from attrs import frozen

from fpa_core.cache.codec import is_arrow_table
from fpa_core.exceptions import CacheError
from fpa_core.kinds import KINDS

__all__ = ["SIZES", "UNREADABLE", "FrozenValue", "copy_out", "freeze", "unwrap"]

UNREADABLE: Final = object()
"""Marks a value whose bytes could not be decoded, in a backend that decodes them itself."""

_RECORDS: Final = frozenset(kind.record for kind in KINDS.values())
_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes, Decimal, datetime}) | _RECORDS

RECORD_BYTES = 800
"""Approximate memory of a record: its slots and the decimals in them."""

SIZES: Final = dict.fromkeys(_LEAVES, 0) | dict.fromkeys(_RECORDS, RECORD_BYTES) | {int: 32, float: 24, bool: 28}
"""Approximate bytes of immutable values by type; 0 if they differ from value to value."""


@frozen
class FrozenValue:
    """A value with containers in it, which must not be changed, and how to copy it."""

    value: Any
    copy: Callable[[Any], Any]


def freeze(value: Any) -> tuple[Any, int]:
    """Return *value* in a form that no caller can change, and its approximate size in bytes.

    :raises CacheError: if its type cannot be encoded; also raised for backends that keep objects, so that all backends behave alike.
    """
    kind = type(value)
    if (size := SIZES.get(kind)) is not None:
        return value, size or getsizeof(value)
    if kind in (list, tuple) and _LEAVES.issuperset(kinds := set(map(type, value))):
        # Values of one type have similar sizes, and a sum over all would cost more than the copy.
        size = getsizeof(value) + (len(value) * max(_sample(value, kinds), 8) if value else 0)
        return (value if kind is tuple else FrozenValue(list(value), list.copy)), size
    if is_arrow_table(value):
        return value, value.nbytes
    try:
        return FrozenValue(_deep_copy(value), _deep_copy), _deep_size(value)
    except RecursionError:
        raise CacheError("a value that is nested too deeply, or contains itself, cannot be cached") from None


def copy_out(frozen_value: Any) -> Any:
    """Return a copy of the value in what :func:`freeze` returned; the caller may change it."""
    return frozen_value.copy(frozen_value.value) if type(frozen_value) is FrozenValue else frozen_value


def unwrap(frozen_value: Any) -> Any:
    """Return the value in what :func:`freeze` returned, uncopied; the caller must not change it."""
    return frozen_value.value if type(frozen_value) is FrozenValue else frozen_value


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
        hint="cache records, lists of them, Arrow tables, bytes, Decimal, datetime, or JSON values",
    )


def _deep_size(value: Any) -> int:
    kind = type(value)
    if kind is dict:
        return getsizeof(value) + sum(_deep_size(key) + _deep_size(each) for key, each in value.items())
    if kind in (list, tuple):
        return getsizeof(value) + sum(map(_deep_size, value))
    return RECORD_BYTES if kind in _RECORDS else getsizeof(value)

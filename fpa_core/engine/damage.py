"""Values of the database that cannot be decoded: an error that says which."""

from __future__ import annotations

from types import TracebackType

from fpa_core.exceptions import CorruptionError

__all__ = ["damaged", "decoding"]

_UNDECODABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""Errors of what decodes texts, JSON and numbers, when it is given something else; those of Arrow are told by their module, which this one does not import."""


def damaged(what: str, key: object, problem: object) -> CorruptionError:
    """Return the error for a value of a table.

    :param what: the table, or what is kept in it.
    :param key: what the value is found by.
    """
    return CorruptionError(
        f"{what}: what is stored under {key} is damaged: {problem}",
        hint="restore the database from a backup",
        operation=f"read {what}",
    )


class decoding:  # noqa: N801  # it reads as what it does: with decoding("segments", info)
    """A context in which a stored value is decoded; one that cannot be is a CorruptionError. Nothing else is done in it."""

    __slots__ = ("_key", "_what")

    def __init__(self, what: str, key: object) -> None:
        self._what = what
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, _UNDECODABLE) or type(error).__module__.startswith("pyarrow."):
            raise damaged(self._what, self._key, f"{type(error).__name__}: {error}"[:300]) from error

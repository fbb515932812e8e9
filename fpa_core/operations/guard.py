"""Checks that go on when something cannot be read: that is what they look for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fpa_core.exceptions import DatabaseBusyError, DatabaseError
from fpa_core.protocols import Problem

__all__ = ["RESTORE", "guarded"]

RESTORE = "restore the database from a backup: `fpa store restore BACKUP --replace`"
"""What to do about damage that nothing else mends."""


def guarded(what: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield problems; if looking for them fails, since something cannot be read or is not what it should be, that is one more.

    :raises DatabaseBusyError: if the store is in use by somebody else.
    """
    try:
        yield from problems
    except DatabaseBusyError:
        raise
    except DatabaseError as error:
        yield Problem("row", what, error.message, error.hint or RESTORE)
    except (ValueError, LookupError, TypeError) as error:
        # What a database returns of damaged values is no longer of the right type or form.
        yield Problem("row", what, f"stored values cannot be read: {type(error).__name__}: {error}", RESTORE)

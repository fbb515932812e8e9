"""The contracts of a store, and how a failing test names the one that is broken."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import pytest

from fpa_core.protocols import Capability

__all__ = ["Contract", "capabilities_of", "holds"]

F = TypeVar("F", bound=Callable[..., Any])

_NEEDED = "__fpa_capabilities__"


class Contract(Enum):
    """What every store guarantees; the value is the text a failing test shows."""

    C1 = "C1: nothing is lost and nothing doubled; market records are a multiset, in order of arrival at each time"
    C2 = "C2: records with a key have revisions; the latest version is read and earlier ones stay in the history"
    C3 = "C3: every row knows its batch; batches can be listed, undone, and read as known at a time without look-ahead"
    C4 = "C4: rejected records are quarantined, and can be listed, replayed and discarded; none is dropped"
    C5 = "C5: what goes in comes out equal, to the last decimal and nanosecond, on every path"
    C6 = "C6: a batch is all or nothing, and an acknowledged batch is durable"
    C7 = "C7: many threads and processes may use the store; readers never block and see whole batches"


def holds(contract: Contract, *needed: Capability) -> Callable[[F], F]:
    """Return a decorator for a test of *contract*, which its failures name.

    :param needed: the capabilities without which the test is skipped.
    """

    def decorate(test: F) -> F:
        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return test(*args, **kwargs)
            except (Exception, pytest.fail.Exception) as error:
                _name(error, contract.value)
                raise

        setattr(checked, _NEEDED, frozenset(needed))
        return checked  # type: ignore[return-value]

    return decorate


def capabilities_of(test: Callable[..., Any]) -> frozenset[Capability]:
    """Return the capabilities that *test* needs."""
    needed: frozenset[Capability] = getattr(test, _NEEDED, frozenset())
    return needed


def _name(error: BaseException, contract: str) -> None:
    """Put *contract* in front of the message of an assertion, and below that of any other error."""
    if isinstance(error, AssertionError) and len(error.args) <= 1:
        message = str(error.args[0]) if error.args else ""
        error.args = (f"{contract}\n{message}".rstrip(),)
    else:
        error.add_note(contract)

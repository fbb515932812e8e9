"""The contracts of stores and caches, and how a failing test names the one that is broken."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import pytest

from fpa_core.protocols import Capability

__all__ = ["CachePromise", "Contract", "capabilities_of", "holds"]

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


class CachePromise(Enum):
    """What every cache guarantees; the value is the text a failing test shows."""

    K1 = "K1: what was put is returned equal, with its value, times and tags, until it is replaced, removed, swept or evicted"
    K2 = "K2: what was deleted, replaced or invalidated is never returned again, nor stored by a load that began before"
    K3 = "K3: a put with a fence stores only if no generation in it has changed, in one step, and otherwise changes nothing"
    K4 = "K4: a bump gives a generation that was never current before; every other tag keeps its own"
    K5 = "K5: keys are any text, and are listed by a literal prefix, each once"
    K6 = "K6: a listener is notified once of each removal, with the cause, while no lock is held"
    K7 = "K7: threads, handles and processes share it without loss"
    K8 = "K8: a purge frees what is past use and nothing else; usage counts what is there"
    K9 = "K9: whatever goes wrong is raised as CacheError; closing twice does nothing"


def holds(contract: Contract | CachePromise, *needed: Capability) -> Callable[[F], F]:
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

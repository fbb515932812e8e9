"""A database whose writers fail at a certain step: for tests of work that is done in several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fpa_core.engine.tables import Writer

__all__ = ["Interrupted", "InterruptedAtError"]


class InterruptedAtError(Exception):
    """Stands for a kill."""


class Interrupted:
    """A database whose writers fail from a certain one on: at its end, before it is committed."""

    def __init__(self, inner: Any, writers: int) -> None:
        self.inner = inner
        self.left = writers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        self.left -= 1
        with self.inner.writer(operation) as tables:
            yield tables
            if self.left < 0:
                raise InterruptedAtError

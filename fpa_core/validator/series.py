"""Rules about series: they compare a record with earlier ones of the same symbol, or of another key.

The state of each series is kept in a dict that the engine passes from record to record and from chunk to chunk. So a stream, a file in
chunks and a single table get the same verdicts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, MutableMapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from fpa_core.kinds import kind_of
from fpa_core.protocols import Failure
from fpa_core.validator.rule import Rule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fpa_core.validator.lagged import Lagged
    from fpa_core.validator.vectors import Columns, KleeneMask

__all__ = ["PairRule", "SeriesRule"]


@attrs.frozen(kw_only=True)
class SeriesRule(Rule):
    """A rule that reads a record and the state of its series.

    The simplest form defines two methods. Tables are then processed row by row::

        def start(self):
            return []                              # the state of a series before its first record

        def step(self, state, *values):            # the values of ``fields``, in their order
            state.append(values)
            return True, False, None or a Failure

    ``key`` names the fields that identify a series, for all kinds or by kind. A faster form overrides ``check`` and ``mask``.
    """

    scope: ClassVar[Literal["row", "series", "dataset"]] = "series"
    needs: ClassVar[tuple[str, ...]] = ("memory",)
    key: ClassVar[tuple[str, ...] | Mapping[str, tuple[str, ...]]] = ("symbol",)

    def start(self) -> Any:
        """Return the state of a series before its first record."""
        return {}

    def step(self, state: Any, *values: Any) -> bool | Failure | None:
        """Return the verdict on the next record of a series, given the values of ``fields``, and update *state*."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor check and mask")

    def key_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that identify the series of a record of *kind*."""
        return self.key[kind] if isinstance(self.key, Mapping) else self.key

    def key_of(self, record: Any) -> Any:
        """Return the key of the series of *record*: a value, or a tuple if there are several key fields."""
        return _getter(_key(self, type(record)))(record)

    def check(self, record: Any, memory: MutableMapping[Any, Any]) -> bool | Failure | None:
        """Return the verdict on a record, given the state of its series."""
        key = self.key_of(record)
        state = memory.get(key)
        if state is None:
            state = memory[key] = self.start()
        values = _getter(self.fields)(record)
        return self.step(state, values) if len(self.fields) == 1 else self.step(state, *values)

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Return the verdicts on a table."""
        from fpa_core.validator.lagged import fold_series

        return fold_series(columns, self.key_fields(columns.kind.name), self.fields, memory, self.start, self.step)


@attrs.frozen(kw_only=True)
class PairRule(SeriesRule):
    """A series rule that compares each record with the previous one, for whole tables at once.

    ``keeps`` names the fields of both records that are compared. A rule defines ``compare`` for two records, ``compare_all`` for a table, and
    ``reason``; also ``counts`` and ``count_all`` if not every record counts as a previous one.
    """

    keeps: ClassVar[tuple[str, ...]]

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool | None:
        """Return the verdict on a record, given its fields and those of the previous one."""
        raise NotImplementedError(f"{type(self).__name__} does not define compare")

    def compare_all(self, columns: Columns, before: Lagged) -> KleeneMask:
        """Return the verdicts on the rows of a table that have a previous row."""
        raise NotImplementedError(f"{type(self).__name__} does not define compare_all")

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Return why a record failed."""
        raise NotImplementedError(f"{type(self).__name__} does not define reason")

    def counts(self, now: tuple[Any, ...]) -> bool:  # noqa: ARG002
        """Return whether a record counts as the previous one of those that follow."""
        return True

    def count_all(self, columns: Columns) -> npt.NDArray[np.bool_] | None:  # noqa: ARG002
        """Return which rows count as previous ones; None for all."""
        return None

    def check(self, record: Any, memory: MutableMapping[Any, Any]) -> bool | Failure | None:
        """Return the verdict on a record after the previous one."""
        key = _getter(_key(self, type(record)))(record)
        now = _getter(self.keeps)(record)
        now = now if len(self.keeps) > 1 else (now,)
        before = memory.get(key)
        if self.counts(now):
            memory[key] = now
        if before is None:
            return None
        verdict = self.compare(now, before)
        return self.reason(now, before) if verdict is not None and not verdict else verdict

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> KleeneMask:
        """Return the verdicts on a table."""
        from fpa_core.validator.lagged import Lagged
        from fpa_core.validator.vectors import KleeneMask

        key = self.key_fields(columns.kind.name)
        before = Lagged(columns, key, self.keeps, memory, self.count_all(columns))
        verdicts = self.compare_all(columns, before).where(KleeneMask(before.exists))
        return verdicts.with_reasons(
            lambda row: self.reason(tuple(columns.value(field, row) for field in self.keeps), before.values(row))
        )


def _key(rule: SeriesRule, record_class: type[Any]) -> tuple[str, ...]:
    """Return the fields that identify the series of a record class. Kept fast, as it is called for each record."""
    key = rule.key
    return key if type(key) is tuple else key[kind_of(record_class).name]  # type: ignore[call-overload]


@functools.lru_cache(maxsize=256)
def _getter(fields: tuple[str, ...]) -> Callable[[Any], Any]:
    return attrgetter(*fields)

"""Rules about series: what a record is after those before it, of the same symbol or whatever else names its series.

What is remembered of each series lives in a dict that the engine carries from record to record and from chunk to chunk. So a stream, a file in
chunks and one table get the same verdicts.
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

    from fpa_core.validator.preceding import Preceding
    from fpa_core.validator.vectors import Columns, Truth

__all__ = ["PairRule", "SeriesRule"]


@attrs.frozen(kw_only=True)
class SeriesRule(Rule):
    """A rule that looks at a record and at what it remembers of those before it.

    The simplest form gives two methods, and judges tables in a loop over their values::

        def start(self):
            return []                              # what is remembered of a series before its first record

        def step(self, state, *values):            # the values of ``fields``, in their order
            state.append(values)
            return True, False, None or a Failure

    ``key`` says what names a series: fields, or fields by kind. A faster form overrides ``check`` and ``mask``.
    """

    scope: ClassVar[Literal["row", "series", "dataset"]] = "series"
    needs: ClassVar[tuple[str, ...]] = ("memory",)
    key: ClassVar[tuple[str, ...] | Mapping[str, tuple[str, ...]]] = ("symbol",)

    def start(self) -> Any:
        """Return what is remembered of a series before its first record."""
        return {}

    def step(self, state: Any, *values: Any) -> bool | Failure | None:
        """Judge the next record of a series by the values of ``fields``, and remember what is needed of it in *state*."""
        raise NotImplementedError(f"{type(self).__name__} has neither step, nor check and mask")

    def key_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that name the series of a record of *kind*."""
        return self.key[kind] if isinstance(self.key, Mapping) else self.key

    def key_of(self, record: Any) -> Any:
        """Return what names the series of *record*: the field's value, or a tuple of several."""
        return _getter(_key(self, type(record)))(record)

    def check(self, record: Any, memory: MutableMapping[Any, Any]) -> bool | Failure | None:
        """Judge one record after those before it."""
        key = self.key_of(record)
        state = memory.get(key)
        if state is None:
            state = memory[key] = self.start()
        values = _getter(self.fields)(record)
        return self.step(state, values) if len(self.fields) == 1 else self.step(state, *values)

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> Truth:
        """Judge a table."""
        from fpa_core.validator.preceding import stepped

        return stepped(columns, self.key_fields(columns.kind.name), self.fields, memory, self.start, self.step)


@attrs.frozen(kw_only=True)
class PairRule(SeriesRule):
    """A series rule that compares a record with the one before it, and does so for whole tables at once.

    ``keeps`` names the fields that are compared, of both. A rule gives ``compare`` for two records, ``compare_all`` for a table, and ``reason``;
    and ``counts`` with ``count_all`` where not every record counts as one before.
    """

    keeps: ClassVar[tuple[str, ...]]

    def compare(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> bool | None:
        """Judge a record by its fields and those of the one before."""
        raise NotImplementedError(f"{type(self).__name__} has no compare")

    def compare_all(self, columns: Columns, before: Preceding) -> Truth:
        """Judge every row of a table that has one before it."""
        raise NotImplementedError(f"{type(self).__name__} has no compare_all")

    def reason(self, now: tuple[Any, ...], before: tuple[Any, ...]) -> Failure:
        """Say what is wrong with a record that failed."""
        raise NotImplementedError(f"{type(self).__name__} has no reason")

    def counts(self, now: tuple[Any, ...]) -> bool:  # noqa: ARG002
        """Tell whether a record counts as one before those that follow."""
        return True

    def count_all(self, columns: Columns) -> npt.NDArray[np.bool_] | None:  # noqa: ARG002
        """Tell of each row whether it counts; None for all."""
        return None

    def check(self, record: Any, memory: MutableMapping[Any, Any]) -> bool | Failure | None:
        """Judge one record after the one before it."""
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

    def mask(self, columns: Columns, memory: MutableMapping[Any, Any]) -> Truth:
        """Judge a table."""
        from fpa_core.validator.preceding import Preceding
        from fpa_core.validator.vectors import Truth

        key = self.key_fields(columns.kind.name)
        before = Preceding(columns, key, self.keeps, memory, self.count_all(columns))
        verdicts = self.compare_all(columns, before).where(Truth(before.exists))
        return verdicts.explained(
            lambda row: self.reason(tuple(columns.value(field, row) for field in self.keeps), before.values(row))
        )


def _key(rule: SeriesRule, record_class: type[Any]) -> tuple[str, ...]:
    """Return the fields that name the series of a record of a class; quick, as it is asked for each record."""
    key = rule.key
    return key if type(key) is tuple else key[kind_of(record_class).name]  # type: ignore[call-overload]


@functools.lru_cache(maxsize=256)
def _getter(fields: tuple[str, ...]) -> Callable[[Any], Any]:
    return attrgetter(*fields)

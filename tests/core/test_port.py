"""The port: what a backend must have, what follows from it, and what it may leave out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.engine.plain.rows import Rows
from fpa_core.engine.plain.state import StoreState, View
from fpa_core.engine.plain.tables import PlainTables
from fpa_core.engine.tables import Database, Reader, RowWriter, Writer, figures
from fpa_core.exceptions import DatabaseError
from fpa_core.kinds import KINDS
from fpa_core.protocols import Capability, Quarantined, QuarantineQuery, Query, StoreDescription


class Bare(Database):
    """A database that has what it must, and nothing else."""

    capabilities = frozenset()

    def __init__(self) -> None:
        self.state = StoreState()

    @contextlib.contextmanager
    def reader(self, operation: str) -> Iterator[Reader]:  # noqa: ARG002
        yield PlainTables(View(self.state))

    @contextlib.contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:  # noqa: ARG002
        view = View(self.state)
        yield PlainTables(view)
        self.state = view.state

    def describe(self) -> StoreDescription:
        with self.reader("describe") as tables:
            kinds = {name: figures(tables, kind) for name, kind in KINDS.items()}
        return StoreDescription("bare", "none", None, 0, None, kinds)

    def is_open(self) -> bool:
        return True

    def close(self) -> None:
        pass


def test_what_is_missing_is_named() -> None:
    """A part of a backend that lacks a method of the port cannot be made, and Python names the method."""

    class NoHistory(Rows):
        history = RowWriter.history

    with pytest.raises(TypeError, match=r"abstract method '?history'?"):
        NoHistory(View(StoreState()))


@pytest.mark.parametrize(
    ("capability", "call"),
    [
        (Capability.BACKUP, lambda database: database.copy_to(None, None)),
        (Capability.COMPACT, lambda database: database.space()),
        (Capability.COMPACT, lambda database: database.compact()),
        (Capability.NOTIFIES, lambda database: database.announce({})),
        (Capability.NOTIFIES, lambda database: database.follow(print)),
        (Capability.ROLES, lambda database: database.grants("ann", write=False)),
        (Capability.ROLES, lambda database: database.grant("ann", write=False)),
    ],
)
def test_what_is_not_declared_is_refused(capability: Capability, call) -> None:
    """What goes with a capability that a backend does not declare is refused, by its name, and names the capability."""
    with pytest.raises(DatabaseError, match=f"'bare' does not offer '{capability.value}'"):
        call(Bare())


def test_what_follows_from_little() -> None:
    """A database without a faster way is asked for none: it has no last row at hand, no number of its changes, and nothing below its tables."""
    database = Bare()
    assert database.latest(KINDS["quotes"], "SPY") is None
    assert list(database.inspect()) == []
    with database.salvager("look") as tables:
        assert tables.rows.count(Query(KINDS["quotes"])) == 0
        assert database.version() is None


def test_a_change_is_the_writers_own() -> None:
    """A writer's first change makes it a state of its own; one that changes nothing makes none."""
    state = StoreState()
    view = View(state)
    tables = PlainTables(view)
    assert [] == list(tables.rows.history(Query(KINDS["quotes"])))
    assert view.state is state
    tables.quarantine.add([(1, Quarantined("quotes", "A", 5, 1, "{}", (), id=1))])
    assert view.state is not state
    assert {} == state.rejected
    assert [1] == list(view.state.rejected)


RECORDS = st.builds(
    Quarantined,
    st.sampled_from(["quotes", "bars"]),
    st.sampled_from([None, "A", "AB", "B*"]),
    st.none(),
    st.none(),
    st.just("{}"),
    st.lists(st.sampled_from([{"rule": "a.b"}, {"rule": "a.c"}, {}]), max_size=2).map(tuple),
    st.sampled_from(["open", "discarded"]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([None, 3]),
)


EXPECTED = {
    "ids": lambda record, ids: record.id in ids,
    "batch": lambda record, batch: record.batch == batch,
    "kind": lambda record, kind: record.kind == kind,
    "states": lambda record, states: record.state in states,
    "symbols": lambda record, symbols: record.subject in {"A*": ("A", "AB"), "B\\*": ("B*",)}[symbols[0]],
    "rules": lambda record, rules: any(finding.get("rule") in rules for finding in record.findings),
    "changed_by": lambda record, batch: record.changed_by == batch,
}
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.lists(st.integers(1, 3), max_size=2).map(tuple),
        "batch": st.integers(1, 2),
        "kind": st.just("quotes"),
        "states": st.sampled_from([(), ("open",), ("open", "discarded")]),
        "symbols": st.sampled_from([("A*",), ("B\\*",)]),
        "rules": st.sampled_from([(), ("a.b",), ("a.c", "x")]),
        "changed_by": st.just(3),
    },
)


@given(RECORDS, CONDITIONS)
def test_a_record_matches_if_all_conditions_hold(record: Quarantined, conditions: dict[str, Any]) -> None:
    """A rejected record is among those asked for if it meets every condition that is given."""
    expected = all(EXPECTED[name](record, value) for name, value in conditions.items())
    assert expected == QuarantineQuery(**conditions).matcher()(record)

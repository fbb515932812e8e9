"""The multiset and the revision rule, against plain models."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fpa_core.engine.merge import Action, MultisetMerge, Outcome, Stored, merge_versions

rows = st.lists(st.sampled_from("abc"), max_size=8)


def apply(stored: list[tuple[str, int]], batch: int, calls: list[list[str]]) -> list[tuple[str, int]]:
    """Write a batch of *calls* into a list of rows and the batches that brought them."""
    claimed: set[int] = set()
    for call in calls:
        known = [Stored(i, row, owner == batch or i in claimed) for i, (row, owner) in enumerate(stored)]
        for outcome in MultisetMerge(known).merge(call):
            if outcome.action is Action.INSERT:
                stored.append((outcome.content, batch))
            else:
                assert outcome.stored is not None
                claimed.add(outcome.stored.place)
    return stored


def cut(batch: list[str], places: set[int]) -> list[list[str]]:
    edges = [0, *sorted(place for place in places if place < len(batch)), len(batch)]
    return [batch[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.tuples(rows, st.sets(st.integers(1, 7))), max_size=5))
def test_multiset_maximum(batches: list[tuple[list[str], set[int]]]) -> None:
    """Whatever batches arrive, and however they are cut into calls, each row is kept as often as the fullest batch holds it."""
    stored: list[tuple[str, int]] = []
    expected: Counter[str] = Counter()
    for number, (batch, places) in enumerate(batches):
        apply(stored, number, cut(batch, places))
        expected |= Counter(batch)
    assert expected == Counter(row for row, _ in stored)


@given(rows, rows, st.sets(st.integers(1, 7)))
def test_one_merge_is_as_good_as_several(stored: list[str], batch: list[str], places: set[int]) -> None:
    """A merge that takes a batch in several calls decides as one that takes it whole, and knows when nothing stored is left to meet."""
    known = [Stored(place, row, claimed=False) for place, row in enumerate(stored)]
    whole = MultisetMerge(known).merge(batch)
    merge = MultisetMerge(known)
    assert whole == [outcome for call in cut(batch, places) for outcome in merge.merge(call)]
    assert merge.is_exhausted == (not Counter(stored) - Counter(batch))


@given(rows, st.sets(st.integers(1, 7)))
def test_again_adds_nothing(batch: list[str], places: set[int]) -> None:
    """A batch, or its first half, that arrives again changes nothing."""
    once = apply([], 1, [batch])
    for again in (batch, batch[: len(batch) // 2]):
        assert once == apply(list(once), 2, cut(again, places))


def test_arrival_order_is_kept() -> None:
    """New rows follow those that were there, in the order in which they arrive."""
    outcomes = MultisetMerge([Stored(0, "a", claimed=False), Stored(1, "b", claimed=False)]).merge("bcab")
    assert ["duplicate", "insert", "duplicate", "insert"] == [outcome.action.value for outcome in outcomes]


def by_id(content: tuple[int | None, str]) -> int | None:
    return content[0]


def test_venue_id_makes_a_row_unique() -> None:
    """A row with a venue's id is kept once; a different one of that id is a revision, also within one call."""
    arriving = [(1, "a"), (1, "a"), (1, "b"), (None, "x"), (None, "x")]
    outcomes = MultisetMerge([], by_id).merge(arriving)
    actions = [outcome.action for outcome in outcomes]
    assert [Action.INSERT, Action.DUPLICATE, Action.REVISE, Action.INSERT, Action.INSERT] == actions
    assert outcomes[1].repeated
    assert outcomes[2].stored is not None
    assert outcomes[2].stored.place is None


def test_venue_id_meets_stored_row() -> None:
    """The stored version of an id is recognised, and replaced by a different one."""
    stored = [Stored(7, (1, "a"), claimed=False)]
    same, other = MultisetMerge(stored, by_id).merge([(1, "a"), (1, "b")])
    assert (Action.DUPLICATE, stored[0], False) == (same.action, same.stored, same.repeated)
    assert (Action.REVISE, stored[0]._replace(claimed=True)) == (other.action, other.stored)


def test_known_version_of_an_id_is_a_redelivery() -> None:
    """An earlier version of an id does not come back by being delivered again, within a call or after it."""
    inside = MultisetMerge([], by_id).merge([(1, "a"), (1, "b"), (1, "a")])
    assert (Action.DUPLICATE, True) == (inside[2].action, inside[2].repeated)
    stored = [Stored(7, (1, "b"), claimed=False)]
    (later,) = MultisetMerge(stored, by_id).merge([(1, "a")], lambda content, _: {(1, "a"): False}.get(content))
    assert (Action.DUPLICATE, False) == (later.action, later.repeated)


def actions(outcomes: list[Outcome[str]]) -> list[str]:
    return [outcome.action.value for outcome in outcomes]


def test_versions_replace_each_other() -> None:
    """The first version is inserted, an equal one is a duplicate, a different one a revision."""
    assert ["insert", "duplicate", "revise", "duplicate"] == actions(merge_versions(list("aabb"), None))


def test_known_version_is_a_redelivery() -> None:
    """A version that was replaced before does not come back by being delivered again."""
    assert ["insert", "revise", "duplicate"] == actions(merge_versions(list("aba"), None))
    stored = Stored(None, "b", claimed=False)
    assert ["duplicate"] == actions(merge_versions(["a"], stored, recall={"a": False}.get))


def test_a_state_may_return() -> None:
    """Where earlier versions may return, one that arrives again is a revision like any other."""
    assert ["insert", "revise", "revise"] == actions(merge_versions(list("aba"), None, recall=None))


def test_older_version_goes_to_the_history() -> None:
    """Where versions are ordered, an older one never replaces a newer one; equal ages go by arrival."""
    outcomes = merge_versions(["2x", "1", "2y", "1"], None, version=lambda content: content[0])
    assert ["insert", "outdated", "revise", "duplicate"] == actions(outcomes)


def test_repeats_of_the_same_batch_are_told_apart() -> None:
    """A duplicate says whether it repeats its own batch or an older one."""
    assert [False, True] == [one.repeated for one in merge_versions(list("aa"), None)]
    assert not merge_versions(["a"], Stored(None, "a", claimed=False))[0].repeated
    assert merge_versions(["a"], Stored(None, "a", claimed=True))[0].repeated


@given(st.lists(st.sampled_from("abc"), max_size=6))
def test_versions_are_idempotent(arriving: list[str]) -> None:
    """Versions delivered a second time change nothing."""
    current: str | None = None
    history: set[str] = set()
    for outcome in merge_versions(arriving, None):
        if outcome.action in {Action.INSERT, Action.REVISE}:
            history |= {current} if current else set()
            current = outcome.content
    stored = None if current is None else Stored(None, current, claimed=False)
    again = merge_versions(arriving, stored, dict.fromkeys(history, False).get)
    assert all(outcome.action is Action.DUPLICATE for outcome in again)

"""How arriving rows meet stored ones: the multiset and the revision rule, apart from any table, shared by every backend.

A *content* is a row without its place: the tuple of its values apart from subject, time and sequence number, in the backend's own form. Equal
rows have equal contents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["Action", "MultisetMerge", "Outcome", "Stored", "merge_versions"]

C = TypeVar("C", bound=Hashable)


class Action(Enum):
    """What becomes of an arriving row."""

    INSERT = "insert"
    DUPLICATE = "duplicate"
    REVISE = "revise"
    """It replaces a stored row, which goes to the history."""
    OUTDATED = "outdated"
    """It is older than what is stored, and goes to the history at once."""


class Stored(NamedTuple, Generic[C]):
    """A row of the store with the same key as arriving ones.

    :ivar place: whatever the backend finds it by again.
    :ivar claimed: it came with the batch being written, or an earlier row of that batch was recognised as it.
    """

    place: Any
    content: C
    claimed: bool


class Outcome(NamedTuple, Generic[C]):
    """The verdict on one arriving row.

    :ivar stored: the row it duplicates or revises, without a place if that one arrived in the same merge; None if there is none.
    :ivar repeated: a duplicate of a row of its own batch.
    """

    action: Action
    content: C
    stored: Stored[C] | None = None
    repeated: bool = False


class MultisetMerge(Generic[C]):
    """Merges rows of one subject and time so that each distinct row is kept as often as the fullest batch holds it.

    An arriving row is a duplicate of a stored row that no earlier row of its batch has claimed; if none is left it is new. Over a
    whole batch this leaves max(stored, arriving) of each row, however the batch is cut into calls: to one merge, which looks at the stored
    rows once, or to several. A row with a venue id is unique instead: the same id again is a duplicate if equal to the present version or
    an earlier one, and a revision if not.

    :param stored: the rows at that subject and time; those without an id that are claimed may be left out.
    :param venue_id: the id that makes a content unique, or None; left out where the kind has none.
    """

    def __init__(self, stored: Iterable[Stored[C]], venue_id: Callable[[C], Hashable | None] | None = None) -> None:
        self._venue_id = venue_id
        self._unclaimed: dict[C, deque[Stored[C]]] = {}
        self._versions: dict[Hashable, Stored[C]] = {}
        self._superseded: dict[C, bool] = {}  # each with whether it was claimed
        for row in stored:
            if venue_id is not None and (identity := venue_id(row.content)) is not None:
                self._versions[identity] = row
            elif not row.claimed:
                self._unclaimed.setdefault(row.content, deque()).append(row)

    @property
    def is_exhausted(self) -> bool:
        """Whether every row without an id that arrives from now on is new."""
        return not self._unclaimed

    def has_other_versions(self, arriving: Iterable[C]) -> bool:
        """Return whether a venue's id arrives with other values than its present version, or with several."""
        if self._venue_id is None:
            return False
        first: dict[Hashable, C] = {}
        for content in arriving:
            if (identity := self._venue_id(content)) is not None:
                known = self._versions.get(identity)
                if content != (first.setdefault(identity, content) if known is None else known.content):
                    return True
        return False

    def put(self, content: C, place: Any) -> None:
        """Note where a row with a venue id that arrived was put, so that later rows may revise it there."""
        if self._venue_id is not None and (identity := self._venue_id(content)) is not None:
            self._versions[identity] = self._versions[identity]._replace(place=place)

    def merge(
        self, arriving: Iterable[C], recall: Callable[[C, Stored[C]], bool | None] = lambda _content, _stored: None
    ) -> list[Outcome[C]]:
        """Return what becomes of rows, in the order of their arrival.

        :param recall: called with a content with an id and its present version, which is another one: whether the content, which a later version
            replaced before, was claimed; None if it is not in the history.
        """
        outcomes: list[Outcome[C]] = []
        for content in arriving:
            if self._venue_id is not None and (identity := self._venue_id(content)) is not None:
                outcomes.append(self._merge_unique(content, identity, recall))
            elif candidates := self._unclaimed.get(content):
                outcomes.append(Outcome(Action.DUPLICATE, content, candidates.popleft()))
                if not candidates:
                    del self._unclaimed[content]
            else:
                outcomes.append(Outcome(Action.INSERT, content))
        return outcomes

    def _merge_unique(
        self, content: C, identity: Hashable, recall: Callable[[C, Stored[C]], bool | None]
    ) -> Outcome[C]:
        """Merge a row that its venue's id makes unique, and remember it as the present version; one without a place came with these rows."""
        known = self._versions.get(identity)
        if known is not None and known.content == content:
            self._versions[identity] = known._replace(claimed=True)
            return Outcome(Action.DUPLICATE, content, known, repeated=known.claimed)
        if known is not None:
            claimed = self._superseded.get(content)
            if claimed is None:
                claimed = recall(content, known)
            if claimed is not None:
                return Outcome(Action.DUPLICATE, content, repeated=claimed)
            self._superseded[known.content] = known.claimed
        place = None if known is None else known.place
        self._versions[identity] = Stored(place, content, claimed=True)
        return Outcome(Action.INSERT if known is None else Action.REVISE, content, known)


def merge_versions(
    arriving: Sequence[C],
    stored: Stored[C] | None,
    recall: Callable[[C], bool | None] | None = lambda _: None,
    version: Callable[[C], Any] | None = None,
) -> list[Outcome[C]]:
    """Merge versions of one key: a different one replaces the present one, an equal or an already known one changes nothing.

    A version that is already in the history is a redelivery, not news: so an old file ingested again does not undo a correction. An arriving
    version older than the present one goes to the history without being read; equal ages go by arrival.

    :param arriving: contents in the order of arrival.
    :param stored: the present version.
    :param recall: whether a content of the history of this key came with this batch; it returns None of one that is not there. It is None itself
        where an earlier version that arrives again is news, not a redelivery: the state of an account may well return to what it was.
    :param version: what orders versions; None where arrival does.
    """
    outcomes: list[Outcome[C]] = []
    current: C | None = stored.content if stored else None
    # Versions that were current, or came too late, within this call: whether they came with this batch.
    superseded: dict[C, bool] = {}
    of_this_batch = stored.claimed if stored else False
    on_stored = stored  # until one that arrives takes its place
    for content in arriving:
        if current is None:
            outcomes.append(Outcome(Action.INSERT, content))
            current, of_this_batch, on_stored = content, True, None
        elif content == current:
            outcomes.append(Outcome(Action.DUPLICATE, content, on_stored, repeated=of_this_batch))
        elif recall is not None and (own := superseded.get(content, recall(content))) is not None:
            outcomes.append(Outcome(Action.DUPLICATE, content, None, repeated=own))
        elif version is not None and version(content) < version(current):
            outcomes.append(Outcome(Action.OUTDATED, content))
            superseded[content] = True
        else:
            outcomes.append(Outcome(Action.REVISE, content, on_stored))
            superseded[current] = of_this_batch
            current, of_this_batch, on_stored = content, True, None
    return outcomes

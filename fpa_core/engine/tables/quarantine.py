"""The port's rejected records."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

from attrs import evolve, frozen

from fpa_core.engine.condensed import cells_text, digest
from fpa_core.protocols import QuarantineCount, Quarantined, QuarantineQuery, State

__all__ = ["QuarantineReader", "QuarantineStore", "Sought"]


@frozen
class Sought:
    """Rejected records to look for.

    :ivar digest: of the kind, text and cells (see :func:`fpa_core.engine.condensed.digest`).
    :ivar after: only records with a larger id.
    :ivar count: at most so many, the smallest ids first.
    """

    digest: int
    after: int
    count: int


class QuarantineReader(Protocol):
    """Rejected records."""

    @abstractmethod
    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        """Yield records, in the order that *query* asks for."""
        ...

    def count(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count records by batch, kind and state, in this order; the limit of *query* does not count."""
        found = self.select(evolve(query, limit=None))
        counts = Counter((one.batch, one.kind, one.state) for one in found)
        return [QuarantineCount(*key, number) for key, number in sorted(counts.items())]

    def like(self, sought: Sequence[Sought], *, upto: int, root: int) -> Iterable[tuple[int, Quarantined]]:
        """Return, with their digests, records that are sought: those with an id up to *upto* that are not undone.

        *sought* names each digest once. Records of the batch *root* do not count. Findings and times may be left out.
        """
        alike: dict[int, list[Quarantined]] = defaultdict(list)
        for one in self.select(QuarantineQuery()):
            if one.id <= upto and one.batch != root and one.state != State.UNDONE:
                alike[_digest(one)].append(one)
        for each in sought:
            later = (one for one in reversed(alike[each.digest]) if one.id > each.after)
            yield from ((each.digest, one) for one in itertools.islice(later, each.count))

    def last_id(self) -> int:
        """Return the largest id of a record; 0 if there is none."""
        return next((one.id for one in self.select(QuarantineQuery(limit=1))), 0)

    def replayed_before(self, ids: Sequence[int], *, batch: int) -> Mapping[int, int]:
        """Return how often records equal to some of *ids* were replayed by other batches than *batch*.

        Of several equal records among *ids* only the first is named, and only with a count above 0.
        """
        replayed = self.select(QuarantineQuery(states=(State.REPLAYED,)))
        before = Counter(_digest(one) for one in replayed if one.changed_by != batch)
        asked = sorted(self.select(QuarantineQuery(ids=tuple(ids))), key=attrgetter("id"), reverse=True)
        firsts = {_digest(one): one.id for one in asked}
        return {number: before[likeness] for likeness, number in firsts.items() if likeness in before}

    def matches_of(self, batch: int) -> Iterable[tuple[str, str, int, int, int]]:
        """Return what :meth:`QuarantineStore.keep_matches` kept for a batch: kind, subject, time, ``seq`` and batch of each row."""
        return [match[1:] for page in self.matches() for match in page if match[0] == batch]

    @abstractmethod
    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        """Yield what was kept for all batches, in any order: the batch, then what :meth:`matches_of` returns."""
        ...

    @abstractmethod
    def earlier(self) -> Generator[Sequence[tuple[Quarantined, int]], None, None]:
        """Yield what records were before batches changed them, in any order, each with the batch that did."""
        ...


class QuarantineStore(QuarantineReader, Protocol):
    """Rejected records, within a write transaction."""

    @abstractmethod
    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        """Add records, each with its digest; ids and batches are set."""
        ...

    @abstractmethod
    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        """Give the records of *query* a state, keep what they were in their history, and return how many they are."""
        ...

    @abstractmethod
    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        """Give open records other findings, and keep what they were in their history; those that have these findings are left as they are."""
        ...

    @abstractmethod
    def restore_states(self, batches: Sequence[int], *, by: int) -> None:
        """Give the records that *batches* brought or changed what they are by the batches that count: those neither undone nor themselves an undo.

        A record is undone if the batch that brought it is. Else it has the state and the findings that the last batch that counts gave it, or those
        that it came with. What it was stays in its history; one that is so already is left as it is.
        """
        ...

    @abstractmethod
    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        """Keep which stored rows a batch was recognised as, at times at which it also has rejected rows."""
        ...

    @abstractmethod
    def replace_all(
        self,
        records: Iterable[Sequence[tuple[int, Quarantined]]],
        earlier: Iterable[Sequence[tuple[Quarantined, int]]],
        matches: Iterable[Sequence[tuple[int, str, str, int, int, int]]],
    ) -> None:
        """Put records, as :meth:`add` takes them, what they were, and what was kept for batches in the place of all that is there."""
        ...


def _digest(record: Quarantined) -> int:
    return digest(record.kind, record.raw, cells_text(record.cells))

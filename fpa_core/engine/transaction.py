"""One batch being written, inside one transaction of the database."""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from attrs import define, evolve, field

from fpa_core.arrow.conversion import to_table
from fpa_core.engine import audit_log
from fpa_core.engine.appending import Appender
from fpa_core.engine.asked import check_quarantine_query, check_query, check_values
from fpa_core.engine.coverage import joined
from fpa_core.engine.matched import MatchedRows, Owners
from fpa_core.engine.multisets import MultisetWriter
from fpa_core.engine.plain_columns import plain_columns
from fpa_core.engine.quarantine import QuarantineClaims, QuarantineWriter
from fpa_core.engine.removal import RETENTION
from fpa_core.engine.retirement import retire_sealed
from fpa_core.engine.rows import Key, shape_of
from fpa_core.engine.sorting import check_complete
from fpa_core.engine.tables import Writer
from fpa_core.engine.undo import take_back
from fpa_core.engine.versions import VersionWriter
from fpa_core.exceptions import DatabaseError, DataError
from fpa_core.kinds import KINDS, Kind
from fpa_core.numbers import ns_text
from fpa_core.protocols import (
    VERSION,
    AuditEntry,
    Batch,
    Changed,
    CoverageEntry,
    Finding,
    Quarantined,
    QuarantineQuery,
    Query,
    Severity,
    State,
    WriteCounts,
)

__all__ = ["Claims", "Transaction", "begin"]

_log = logging.getLogger("fpa.store")

MOST_BEHIND_NS = 5 * 60 * 10**9
"""How far the clock may be behind the last batch without a warning: clocks of several machines differ by seconds."""


@define
class Claims:
    """What the rows of a batch were recognised as: stored rows, and records of the quarantine.

    :ivar lasting: whether later transactions of the same batch go on with them.
    """

    rows: MatchedRows = field(factory=MatchedRows)
    rejected: QuarantineClaims = field(factory=QuarantineClaims)
    lasting: bool = False

    def commit(self) -> None:
        """Keep what was added since the last commit."""
        self.rows.commit()
        self.rejected.commit()

    def rollback(self) -> None:
        """Forget what was added since the last commit."""
        self.rows.rollback()
        self.rejected.rollback()


def begin(tables: Writer, batch: Batch) -> Batch:
    """Add a batch and return it with its id and time: the present one, or the first after every earlier batch."""
    check_values({"origin": batch.origin, "file": batch.file, "digest": batch.digest, "replays": batch.replays})
    latest = next(iter(tables.batches.find(limit=1, children=True)), None)
    now_ns = time.time_ns()
    if latest is not None and latest.recorded_ns - now_ns > MOST_BEHIND_NS and batch.parent is None:
        _log.warning(
            "the clock is at %s, but batch %d was recorded at %s: one of the two is wrong; until then, batches are recorded right after that one, and "
            "reads as known at a time before it return none of them",
            ns_text(now_ns),
            latest.id,
            ns_text(latest.recorded_ns),
        )
    recorded_ns = now_ns if latest is None else max(now_ns, latest.recorded_ns + 1)
    begun = evolve(batch, recorded_ns=recorded_ns)
    return evolve(begun, id=tables.batches.add(begun))


class Transaction:
    """A batch in the making, or a group of a stream; see :class:`fpa_core.protocols.StoreTransaction`.

    :param batch: the batch, already added.
    :param claims: what earlier groups of the stream have claimed; ``appender`` where they ended.
    :ivar announce: see :meth:`fpa_core.engine.tables.Database.announce`.
    """

    def __init__(
        self,
        tables: Writer,
        batch: Batch,
        claims: Claims,
        appender: Appender,
        announce: Callable[[Changed], None],
    ) -> None:
        self.announce = announce
        self.batch_id = batch.id
        self._tables = tables
        self._begun_ns = batch.recorded_ns
        self._owners = owners = Owners(batch.id, batch.parent, batch.replays)
        self._claims = claims
        self._appender = appender
        self._later: dict[int, bool] = {}
        self._unordered: set[int] = set()
        self._undecided: set[Key] = set()
        self._first_row = 0
        self._is_fix = False
        self._multisets = MultisetWriter(tables, owners, claims.rows, self._stands)
        self._versions = VersionWriter(tables, owners)
        self._counts = WriteCounts()
        self._read: int | None = None
        self._rejected_at: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._quarantined = 0
        self._deleted = 0
        self._batch = batch
        self._acts: dict[str, None] = {}
        self._by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        self._undone: int | None = None
        if owners.replays is not None:
            self._recall_matches(owners.replays)

    def write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        """Add rows under the contract of their kind."""
        self._appender.forget()
        return self._write(kind, table)

    def write_records(self, kind: Kind, records: Sequence[Any]) -> WriteCounts:
        """Add records; those of quotes and trades that come after all that is stored are appended as they are."""
        if not kind.multiset:
            return self._write(kind, to_table(kind, records))
        self._multisets.flush()
        others = self._appender.append(self._tables, kind, records, self.batch_id)
        appended = WriteCounts(inserted=len(records) - len(others))
        if appended.inserted:
            self._multisets.forget_crowds(kind, records)
        self._counts += appended
        self._note("write", kind, appended)
        return appended + self._write(kind, to_table(kind, others)) if others else appended

    def _write(self, kind: Kind, table: pa.Table) -> WriteCounts:
        if not table.num_rows:
            return WriteCounts()
        check_complete(kind, table)
        counts = (self._multisets if kind.multiset else self._versions).write(kind, table)
        self._counts += counts
        self._note("write", kind, counts)
        return counts

    # Quarantine

    @functools.cached_property
    def _quarantine(self) -> QuarantineWriter:
        return QuarantineWriter(self._tables, self._owners, self._claims.rejected)

    def quarantine(self, records: Sequence[Quarantined]) -> Sequence[Quarantined]:
        """Keep rejected records that are not there already; the others count as duplicates."""
        kept = self._quarantine.add(records)
        for one in kept:
            if one.subject is not None and one.ts_ns is not None and KINDS[one.kind].multiset:
                self._rejected_at[one.kind, one.subject].add(one.ts_ns)
        self._quarantined += len(kept)
        self._counts += WriteCounts(duplicate=len(records) - len(kept))
        return kept

    def replay(self, kind: Kind, table: pa.Table, ids: Sequence[int], *, fixed: bool = False) -> WriteCounts:
        """Put rejected rows into the tables."""
        again = [] if fixed or not kind.multiset else self._replayed_again(ids)
        self._appender.forget()
        rejected = list(self._tables.quarantine.select(QuarantineQuery(ids=tuple(ids))))
        self._first_row = min((record.row or 0 for record in rejected), default=0)
        self._undecided.clear()
        self._is_fix = fixed
        check_complete(kind, table)
        if kind.multiset:
            # Equal rows that were replayed before count with these, as they would have in their source.
            rows = table.take(pa.array([*again, *range(table.num_rows)], pa.int64()))
            counts = self._multisets.write(kind, rows) + WriteCounts(duplicate=-len(again))
        else:
            writer = self._versions if fixed else VersionWriter(self._tables, self._owners, self._stands)
            counts = writer.write(kind, table)
        if undecided := self._undecided_among(kind, table, ids):
            counts += WriteCounts(duplicate=-len(undecided))
            self.reject_again([_undecided(record) for record in rejected if record.id in undecided])
        self._counts += counts
        self._note("fix" if fixed else "replay", kind, counts)
        self._quarantine.settle([one for one in ids if one not in undecided], State.FIXED if fixed else State.REPLAYED)
        return counts

    def _undecided_among(self, kind: Kind, table: pa.Table, ids: Sequence[int]) -> set[int]:
        """Return the records of which the replayed batch itself stored another version; *ids* are those of the rows."""
        if not self._undecided:
            return set()
        shape = shape_of(kind)
        width = len(shape.key)
        identities = [
            (*row[:width], shape.id_of(row[width:])) if kind.multiset else row[:width]
            for row in zip(*plain_columns(kind, table), strict=True)
        ]
        return {one for one, identity in zip(ids, identities, strict=False) if identity in self._undecided}

    def _replayed_again(self, ids: Sequence[int]) -> list[int]:
        """Return the rows of *ids* that were replayed before, each as often as that."""
        before = self._tables.quarantine.replayed_before(ids, batch=self.batch_id)
        return [row for row, record in enumerate(ids) for _ in range(before.get(record, 0))]

    def _stands(self, batch: int, identity: Key) -> bool:
        """Return whether a version that *batch* brought is later than what is replayed, or may be, and so is not replaced by it."""
        replays = self._owners.replays
        if replays is None or self._is_fix or batch == self.batch_id:
            return False
        if batch not in self._later:
            (found,) = self._tables.batches.find(batch=batch)
            if replays in (found.id, found.parent):
                self._unordered.add(batch)
            # What an earlier replay brought is as old as the batch that had rejected it; of one batch, the later row of the source stands.
            later = replays <= (found.replays or batch)
            self._later[batch] = self._replays_after(batch) if found.replays == replays else later
        if batch in self._unordered:
            self._undecided.add(identity)
        return self._later[batch]

    def _replays_after(self, batch: int) -> bool:
        """Return whether the rows that another replay put in come after the first one of this replay."""
        others = self._tables.quarantine.select(QuarantineQuery(changed_by=batch))
        return max((record.row or 0 for record in others), default=0) > self._first_row

    def _recall_matches(self, replayed: int) -> None:
        """Take over what the rows of the replayed batch were recognised as, at the times of its rejected rows."""
        by_subject = itertools.groupby(sorted(self._tables.quarantine.matches_of(replayed)), key=itemgetter(0, 1))
        for (kind, subject), matches in by_subject:
            self._claims.rows.add(KINDS[kind], subject, np.array([match[2:] for match in matches], np.int64))

    def _keep_matches(self) -> None:
        """Keep what rows were recognised as at the times of rejected rows, for the batch that replays these."""
        self._multisets.keep_claims()
        matches = [
            (kind, subject, *match)
            for (kind, subject), times in self._rejected_at.items()
            for match in self._claims.rows.between(KINDS[kind], subject, min(times), max(times))
            if match[0] in times
        ]
        if matches:
            self._tables.quarantine.keep_matches(self._owners.root, matches)

    def discard(self, query: QuarantineQuery) -> int:
        """Mark open records as discarded."""
        check_quarantine_query(query)
        self._acts["discard"] = None
        return self._quarantine.discard(query)

    def reject_again(self, records: Sequence[Quarantined]) -> None:
        """Note what is wrong with open records now."""
        self._acts["retry"] = None
        self._quarantine.reject_again(records)
        self._quarantined += len(records)

    # Deleting and undoing

    def delete(self, query: Query) -> int:
        """Move the rows of *query* to the history."""
        check_query(query)
        self._appender.forget()
        kind, by = query.kind, self.batch_id
        deleted = 0
        if query.limit is None:
            if kind.multiset:
                self._multisets.settle(kind)
                release = self._multisets.release
                deleted = retire_sealed(self._tables, query, by=by, reason="deleted", release=release)
            deleted += self._tables.rows.retire(query, by=by, reason="deleted")
        else:
            if kind.multiset:
                self._multisets.unseal(query)
            keys = list(itertools.chain.from_iterable(self._tables.rows.select(query, shape_of(kind).row_key)))
            self._tables.rows.retire_keys(kind, keys, by=by, reason="deleted")
            deleted = len(keys)
        self._deleted += deleted
        self._acts["delete"] = None
        self._by_kind[kind.name]["deleted"] += deleted
        return deleted

    def undo(self, batch_id: int) -> int:
        """Take back what *batch_id* brought, replaced and removed."""
        check_values({"batch": batch_id})
        found = self._tables.batches.find(batch=batch_id)
        if not found or batch_id == self.batch_id:
            raise DataError(
                f"there is no batch {batch_id}", hint="`fpa batches` lists them", field="batch", value=batch_id
            )
        if (by := found[0].undone_by) is not None:
            raise DataError(f"batch {batch_id} was already undone, by batch {by}", field="batch", value=batch_id)
        if found[0].origin == RETENTION:
            raise DataError(
                f"batch {batch_id} notes what was deleted because of its age, and cannot be undone",
                hint=f"ingest the file {found[0].file} of the archive" if found[0].file else None,
                field="batch",
                value=batch_id,
            )
        if (parent := found[0].parent) is not None:
            raise DataError(
                f"batch {batch_id} is a group of the stream that is batch {parent}",
                hint=f"undo batch {parent} as a whole",
                field="batch",
                value=batch_id,
            )
        self._appender.forget()
        self._acts["undo"] = None
        self._undone = batch_id
        self._tables.batches.amend(self.batch_id, undoes=batch_id)
        # Later batches that put in what this one rejected go with it, and first.
        batches = [*self._tables.batches.replays_of(batch_id), batch_id]
        self._multisets.settle()
        taken = [take_back(self._tables, each, by=self.batch_id, multisets=self._multisets) for each in batches]
        self._quarantine.restore(sorted({batch for each in taken for batch in each.batches}))
        changed = sum(each.changed for each in taken)
        self._deleted += changed
        return changed

    # The batch itself

    def cover(self, entries: Sequence[CoverageEntry]) -> None:
        """Enter ranges into the ledger. Those of a stream's groups belong to the stream: they make its entries longer."""
        root = self._owners.root
        known = self._tables.coverage.of_batch(root)
        self._tables.coverage.replace(root, joined([*known, *(evolve(one, batch=root) for one in entries)]))

    def finish(self, *, read: int, reading: str | None = None, digest: str | None = None) -> None:
        """Note how many rows the source held, how they were read, and the digest of its file."""
        self._read = read
        self._batch = evolve(self._batch, digest=digest or self._batch.digest)
        if reading is not None or digest is not None:
            self._tables.batches.amend(self.batch_id, digest=digest, reading=reading)

    def _note(self, act: str, kind: Kind, counts: WriteCounts) -> None:
        """Keep for the audit log what was done to a kind."""
        self._acts[act] = None
        by_kind = self._by_kind[kind.name]
        by_kind["inserted"] += counts.inserted
        by_kind["revised"] += counts.revised

    def _audit(self) -> AuditEntry:
        """Add the entry of the batch to the audit log. The rows before and after are in the history, under the number of the batch."""
        batch = self._batch
        kinds = {name: {what: n for what, n in counts.items() if n} for name, counts in self._by_kind.items()}
        details = {
            "origin": batch.origin,
            "file": batch.file,
            "digest": batch.digest,
            "stream": batch.parent,
            "replays": batch.replays,
            "undoes": self._undone,
            "changed": self._deleted if self._undone is not None else None,
            "kinds": {name: counts for name, counts in kinds.items() if counts} or None,
            "duplicate": self._counts.duplicate or None,
            "quarantined": self._quarantined or None,
        }
        action = "+".join(self._acts) or ("quarantine" if self._quarantined else "write")
        return audit_log.append(self._tables.audit_log, action, details, batch=self.batch_id)

    def record(self) -> AuditEntry:
        """Write what the batch came to, and its entry in the audit log, which is returned; the last step before the commit.

        :raises DatabaseError: if its stream has been undone meanwhile.
        """
        self._multisets.flush()
        if self._claims.lasting:
            self._multisets.keep_claims()
        if self._rejected_at:
            self._keep_matches()
        counts = self._counts
        total = counts.inserted + counts.duplicate + counts.revised + self._quarantined
        for batch in (self.batch_id, self._owners.parent):
            if batch is not None and not self._tables.batches.record(
                batch,
                # Only from now on can a reader see its rows.
                recorded_ns=max(time.time_ns(), self._begun_ns) if batch == self.batch_id else None,
                read=total if self._read is None else self._read,
                counts=counts,
                quarantined=self._quarantined,
                deleted=self._deleted,
            ):
                raise DatabaseError(
                    f"batch {batch} was undone while it was being written",
                    hint="what comes next belongs to another batch: begin a new stream",
                    operation="write a group of a stream",
                )
        return self._audit()


def _undecided(record: Quarantined) -> Quarantined:
    """Return an open record with the reason why it was not replayed."""
    finding = Finding(
        VERSION,
        Severity.ERROR,
        "its batch stored another version of it, and which of the two came first is not known; `fpa quarantine fix` puts this one in the place of "
        "the stored one, `fpa quarantine discard` keeps that",
        record.kind,
    )
    return evolve(record, findings=(*(each for each in record.findings if each["rule"] != VERSION), finding.as_dict()))

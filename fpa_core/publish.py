"""Publish what a store holds as tables of a lake: completely, or not at all, and afterwards only what has changed.

A table consists of files, each of which has the rows of a range of time, over all symbols; the ranges lie apart. A publication is of the rows known at the
last batch: it finds the ranges in which these differ from what was published, writes files for them, reads these again, and replaces the old ones in
one commit. What it is about to do is kept beside the table as a plan, so that one that was killed goes on with the files that are there.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import asdict, frozen

from fpa_core.arrow.interchange import SCALE, conform, interchange_schema
from fpa_core.exceptions import CorruptionError, DatabaseError, DataError, SchemaError
from fpa_core.kinds import Kind
from fpa_core.protocols import Batch, Capability, Lake, LakeFile, LakeState, LakeTable, Query, StoreBackend
from fpa_core.store.partitions import cut_times

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.store import DataStore

__all__ = ["FILE_ROWS", "Publication", "publish", "published_kinds"]

FILE_ROWS = 1_000_000
"""Rows of a file, about, unless asked otherwise."""

_PLAN_VERSION = 1


@frozen
class Publication:
    """What became of a publication of one kind.

    :ivar table: the table's name.
    :ivar batch: the last batch that the table now knows.
    :ivar rows: how many rows it has; ``files`` in how many files.
    :ivar written: how many rows were written, ``added`` in how many files, in the place of ``removed`` others.
    :ivar resumed: how many of the added files an earlier publication, which was interrupted, had written.
    :ivar verified: how many rows of the table were read again and were equal to those of the store.
    """

    kind: str
    table: str
    batch: int
    rows: int
    files: int
    written: int = 0
    added: int = 0
    removed: int = 0
    resumed: int = 0
    verified: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-compatible values."""
        return asdict(self)


_Range: TypeAlias = tuple[int | None, int | None]
"""The first instant included and the first excluded; None without a bound."""


@frozen
class _Plan:
    """A publication that has begun.

    :ivar name: of its own; its files bear it.
    :ivar base: the version of the table that it replaces.
    :ivar remove: the paths of the files that it replaces.
    :ivar ranges: the time of each new file.
    """

    name: str
    batch: int
    recorded_ns: int
    base: str | None
    remove: tuple[str, ...]
    ranges: tuple[_Range, ...]

    def file(self, number: int) -> str:
        return f"{self.name}-{number:05}.parquet"


def published_kinds(store: DataStore, lake: Lake, kinds: Sequence[Kind]) -> list[Kind]:
    """Return those of *kinds* of which the store has rows, or the lake a table."""
    return [kind for kind in kinds if store.backend.inventory(kind) or lake.has(kind.name)]


def publish(
    store: DataStore,
    lake: Lake,
    kind: Kind,
    *,
    scale: int | None = None,
    file_rows: int = FILE_ROWS,
    replace: bool = False,
    verify: bool = False,
    progress: Callable[[int, float | None], None] | None = None,
) -> Publication:
    """Bring the table of *kind* to the last batch of the store.

    :param scale: digits after the point of the table's decimal columns; None for those it has, or 18 for a new table.
    :param file_rows: about how many rows a file may have.
    :param replace: write all files again, whatever the table holds.
    :param verify: read the whole table again afterwards and compare it with the store, not only the new files.
    :param progress: called with the number of rows written, and the share of the files that are done.
    :raises DataError: if a value does not fit the decimal columns.
    :raises DatabaseError: if the table belongs to another store, or another program changed it.
    :raises CorruptionError: if what was written is not what is read back.
    """
    if Capability.KNOWN_AT not in store.backend.capabilities:
        raise DatabaseError(
            "only a store that can read the past can be published: writers would change the rows meanwhile",
            operation="publish",
        )
    begun = time.perf_counter()
    table = lake.table(kind.name, interchange_schema(kind, SCALE if scale is None else scale))
    if scale is None:
        scale = next((own.type.scale for own in table.schema if hasattr(own.type, "scale")), SCALE)
    run = _Run(store.backend, table, kind, scale, file_rows, progress or (lambda _rows, _share: None))
    run.finish_earlier()
    run.bring_up_to_date(replace=replace)
    return run.report(verify=verify, begun=begun)


class _Run:
    """One publication of one kind."""

    def __init__(
        self,
        backend: StoreBackend,
        table: LakeTable,
        kind: Kind,
        scale: int,
        file_rows: int,
        progress: Callable[[int, float | None], None],
    ) -> None:
        self._backend = backend
        self._table = table
        self._kind = kind
        self._schema = interchange_schema(kind, scale)
        self._file_rows = file_rows
        self._progress = progress
        self._written = self._added = self._removed = self._resumed = self._verified = 0
        if table.schema != self._schema:
            raise SchemaError(
                f"the table {table.name} has other columns than {kind.name} have now, or another scale",
                hint="give the scale it was made with, or publish to another namespace",
                operation="publish",
            )

    def finish_earlier(self) -> None:
        """Go on with a publication that was interrupted, or remove what it left if it cannot go on."""
        text = self._table.load_plan()
        if text is None:
            return
        plan = _read_plan(text)
        if plan is None:  # it was killed while the plan was written, so before any file was
            self._table.drop_plan()
            return
        state = self._table.state()
        done = state is not None and state.plan == plan.name
        if not done and plan.base == self._table.version() and self._has(plan.batch, plan.recorded_ns):
            self._execute(plan)
            return
        if not done:
            for number in range(len(plan.ranges)):
                self._table.discard(plan.file(number))
        self._table.drop_plan()

    def bring_up_to_date(self, *, replace: bool) -> None:
        """Publish what has changed since the state of the table, if anything has."""
        last = self._backend.batches(limit=1, children=True)
        state = self._table.state()
        if not replace:
            self._check(state)
        if not last or (state is not None and state.batch == last[0].id and not replace):
            return
        plan = self._planned(last[0], None if replace else state)
        self._table.save_plan(
            json.dumps({"plan": _PLAN_VERSION, **asdict(plan)}),
        )
        self._execute(plan)

    def report(self, *, verify: bool, begun: float) -> Publication:
        """Return what was done, after a comparison of the whole table if that is wanted."""
        files = self._table.files()
        state = self._table.state()
        verified = self._verified
        if verify and state is not None:
            for one in files:
                within = self._query(state.recorded_ns, one.first_ns, one.last_ns + 1)
                self._check_equal(one, _digest(self._schema, self._batches(within)))
            self._check_count(files, state.recorded_ns)
            verified = sum(one.rows for one in files)
        return Publication(
            kind=self._kind.name,
            table=self._table.name,
            batch=0 if state is None else state.batch,
            rows=sum(one.rows for one in files),
            files=len(files),
            written=self._written,
            added=self._added,
            removed=self._removed,
            resumed=self._resumed,
            verified=verified,
            seconds=time.perf_counter() - begun,
        )

    # Planning

    def _has(self, batch: int, recorded_ns: int) -> bool:
        """Return whether the store has this very batch."""
        found = self._backend.batches(batch=batch)
        return bool(found) and found[0].recorded_ns == recorded_ns

    def _check(self, state: LakeState | None) -> None:
        if state is None:
            if self._table.version() is not None:
                raise DatabaseError(
                    f"the table {self._table.name} has rows that were not published by this program",
                    hint="publish to another namespace, or replace all of it with --replace",
                    operation="publish",
                )
            return
        if not self._has(state.batch, state.recorded_ns):
            raise DatabaseError(
                f"the table {self._table.name} was published from another store, or from a later state of this one: "
                f"its batch {state.batch} is not here",
                hint="publish to another namespace, or replace all of it with --replace",
                operation="publish",
            )
        if state.version != self._table.version():
            raise DatabaseError(
                f"another program has changed the table {self._table.name} since it was published",
                hint="replace all of it with --replace",
                operation="publish",
            )

    def _planned(self, last: Batch, state: LakeState | None) -> _Plan:
        files = self._table.files()
        ranges: list[_Range] = [(None, None)]
        remove = [one.path for one in files]
        if state is not None:
            spans = [(one.first_ns, one.last_ns) for one in files]
            if any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(spans)):
                raise DatabaseError(
                    f"files of the table {self._table.name} overlap in time, so this program did not write them",
                    hint="replace all of it with --replace",
                    operation="publish",
                )
            changed = self._backend.changed_parts(self._kind, spans, state.batch, last.id)
            if changed is not None:
                parts = self._with_small_files(changed, files)
                ranges = list(_ranges(parts, spans))
                remove = [one.path for number, one in enumerate(files) if 2 * number + 1 in parts]
        cut = [piece for start, end in ranges for piece in self._cut(last.recorded_ns, start, end)]
        return _Plan(uuid.uuid4().hex, last.id, last.recorded_ns, self._table.version(), tuple(remove), tuple(cut))

    def _with_small_files(self, parts: set[int], files: Sequence[LakeFile]) -> set[int]:
        """Add the file before, or at the beginning the one after, a time in which rows were added, if it has room: there would be ever more files."""
        added = set(parts)
        for part in parts:
            neighbour = max(part - 1, 1)
            if part % 2 == 0 and files and files[(neighbour - 1) // 2].rows < self._file_rows // 2:
                added.add(neighbour)
        return added

    def _cut(self, known_at_ns: int, start: int | None, end: int | None) -> Iterator[_Range]:
        cuts = cut_times(self._backend, self._query(known_at_ns, start, end), self._file_rows)
        yield from itertools.pairwise([start, *cuts, end])

    # Writing

    def _execute(self, plan: _Plan) -> None:
        add: list[LakeFile] = []
        for number, (start, end) in enumerate(plan.ranges):
            name = plan.file(number)
            made = self._table.staged(name)
            if made is not None:
                digest = made.digest
                self._resumed += 1
            else:
                query = self._query(plan.recorded_ns, start, end)
                made, digest = self._write(name, query, share=number / len(plan.ranges))
            if made is not None:
                self._check_equal(made, digest)
                self._verified += made.rows
                self._written += made.rows
                add.append(made)
            self._progress(self._written, (number + 1) / len(plan.ranges))
        files = self._table.files()
        kept = [one for one in files if one.path not in plan.remove]
        self._check_count([*kept, *add], plan.recorded_ns)
        remove = [one for one in files if one.path in plan.remove]
        state = LakeState(plan.batch, plan.recorded_ns, plan.name, plan.base)
        self._table.commit(add, remove, state)
        self._added += len(add)
        self._removed += len(remove)
        self._table.drop_plan()

    def _write(self, name: str, query: Query, *, share: float) -> tuple[LakeFile | None, str]:
        from fpa_core.arrow.digest import RowDigest

        digest = RowDigest(self._schema)

        def seen() -> Iterator[pa.RecordBatch]:
            for batch in self._batches(query):
                digest.add(batch)
                self._progress(self._written + digest.rows, share)
                yield batch

        return self._table.write(name, seen()), digest.hexdigest()

    def _batches(self, query: Query) -> Iterator[pa.RecordBatch]:
        from fpa_core.arrow import decimals

        for batch in self._backend.scan(query, scaled=True):
            yield conform(self._kind, decimals.narrowed(self._kind, batch), self._schema)

    def _query(self, known_at_ns: int, start: int | None = None, end: int | None = None) -> Query:
        return Query(self._kind, start_ns=start, end_ns=end, known_at_ns=known_at_ns)

    # Verifying

    def _check_equal(self, file: LakeFile, expected: str | None) -> None:
        if _digest(self._schema, self._table.read(file)) != expected:
            raise CorruptionError(
                f"{file.path}: what is read back is not what the store holds",
                hint="check the disk or the object store, remove the file, and publish again",
                path=file.path,
                operation="publish",
            )

    def _check_count(self, files: Sequence[LakeFile], known_at_ns: int) -> None:
        found, expected = sum(one.rows for one in files), self._backend.count(self._query(known_at_ns))
        if found != expected:
            raise CorruptionError(
                f"the table {self._table.name} would have {found:,} rows, but the store has {expected:,}",
                hint="replace all of it with --replace, and report this",
                operation="publish",
            )


def _digest(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> str:
    from fpa_core.arrow.digest import RowDigest

    digest = RowDigest(schema)
    for batch in batches:
        digest.add(batch)
    return digest.hexdigest()


def _read_plan(text: str) -> _Plan | None:
    """Return a plan; None if it was not written to its end.

    :raises DataError: if another version of this program wrote it.
    """
    try:
        values = json.loads(text)
        version = values.pop("plan")
    except (ValueError, KeyError, AttributeError):
        return None
    if version != _PLAN_VERSION:
        raise DataError(
            f"a publication of another version of this program (plan {version}) has not ended",
            hint="end it with that version",
        )
    values |= {"remove": tuple(values["remove"]), "ranges": tuple((start, end) for start, end in values["ranges"])}
    return _Plan(**values)


def _ranges(parts: set[int], spans: Sequence[tuple[int, int]]) -> Iterator[_Range]:
    """Yield the time of each run of parts that follow each other; see :func:`fpa_core.engine.changes.changed_parts`."""
    for part in sorted(parts):
        if part - 1 in parts:
            continue
        last = part
        while last + 1 in parts:
            last += 1
        yield _start(part, spans), _start(last + 1, spans)


def _start(part: int, spans: Sequence[tuple[int, int]]) -> int | None:
    """Return where a part begins: None for the first one, and for one after the last."""
    if part in (0, 2 * len(spans) + 1):
        return None
    number, after = divmod(part - 1, 2)
    return spans[number][1] + 1 if after else spans[number][0]

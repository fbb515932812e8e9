"""The quarantine in SQL. What many rejected rows share is kept once (see :mod:`fpa_core.engine.condensed`)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from fpa_core import patterns
from fpa_core.engine.condensed import CellLayouts, cells_of, digest, findings_of, split_findings
from fpa_core.engine.damage import decoding
from fpa_core.engine.rows import Row
from fpa_core.engine.sql.session import Session, Wanted, wanted_row
from fpa_core.engine.sql.statements import matching_origins
from fpa_core.engine.tables import QuarantineStore, Sought
from fpa_core.kinds import KINDS
from fpa_core.protocols import QuarantineCount, Quarantined, QuarantineQuery, State

__all__ = ["SqlQuarantine"]

_LAYOUT = "(SELECT l.layout FROM quarantine_layouts l WHERE l.id = q.layout)"


def _names(version: str) -> str:
    """Return the columns of a record ``q`` as it is in a row of the quarantine or of its history."""
    findings = f"(SELECT f.text FROM quarantine_findings f WHERE f.id = {version}.findings)"
    own = f"{findings}, {version}.arguments, {version}.state, q.id, q.batch, {version}.changed_by"
    return f"q.kind, q.subject, q.ts_ns, q.row, q.raw, {own}, {_LAYOUT}, q.cells"


_NAMES = _names("q")
_EARLIER = f"SELECT {_names('h')}, h.retired_by FROM quarantine_history h JOIN quarantine q ON q.id = h.record"
_COLUMNS = (
    "id", "batch", "kind", "subject", "ts_ns", "row", "raw", "digest", "findings", "arguments", "state", "changed_by", "layout",
    "cells",
)  # fmt: skip
_COUNTS = "q.digest = w.x AND q.id > w.y AND q.id <= ? AND q.batch <> ? AND q.state <> 'undone'"
_HISTORY = ("record", "state", "findings", "arguments", "changed_by", "retired_by")
_LOG = (
    "INSERT INTO quarantine_history (record, state, findings, arguments, changed_by, retired_by) "
    "SELECT q.id, q.state, q.findings, q.arguments, q.changed_by, ?"
)
_COUNTING = "(SELECT id FROM batches WHERE undone_by IS NULL AND undoes IS NULL)"
_BROUGHT = "SELECT id FROM quarantine WHERE batch IN (SELECT x FROM wanted)"
_CHANGED = "SELECT record FROM quarantine_history WHERE retired_by IN (SELECT x FROM wanted)"
_VERSIONS = (
    "SELECT record, state, findings, arguments, changed_by FROM quarantine_history UNION ALL "
    "SELECT id, state, findings, arguments, changed_by FROM quarantine"
)
_BY_WHAT_COUNTS = (
    "(SELECT v.record, CASE WHEN b.undone_by IS NULL THEN v.state ELSE 'undone' END AS state, v.findings, v.arguments FROM "
    "(SELECT e.*, row_number() OVER (PARTITION BY e.record ORDER BY coalesce(e.changed_by, 0) DESC) AS place "
    f"FROM ({_VERSIONS}) AS e WHERE e.record IN ({_BROUGHT} UNION {_CHANGED}) "
    f"AND (e.changed_by IS NULL OR e.changed_by IN {_COUNTING})) AS v "
    "JOIN quarantine o ON o.id = v.record JOIN batches b ON b.id = o.batch WHERE v.place = 1)"
)
"""What the records that the batches in ``wanted`` brought or changed are by the batches that count."""

_MOST_KEPT = 65_536
"""Numbers of shared texts remembered by a writer: enough for all that repeats, and a bound if nothing does."""


class SqlQuarantine(QuarantineStore):
    """See :class:`fpa_core.engine.tables.QuarantineStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._findings: dict[tuple[str, str], int] = {}
        self._layouts: dict[str, int] = {}

    # Reading

    def select(self, query: QuarantineQuery) -> Generator[Quarantined, None, None]:
        """Yield the records of *query*."""
        # Databases disagree about where a null comes; here a record without a position comes first.
        order = "q.batch, q.kind, q.row IS NOT NULL, q.row, q.id" if query.in_order else "q.id DESC"
        head, where, parameters = self._where(query)
        sql = f"{head}SELECT {_NAMES} FROM quarantine q WHERE {where} ORDER BY {order}"
        if query.limit is not None:
            sql += " LIMIT ?"
            parameters.append(query.limit)
        for page in self._session.stream(sql, parameters, size=1_024):
            yield from map(_record, page)

    def count(self, query: QuarantineQuery) -> Sequence[QuarantineCount]:
        """Count the records of *query*."""
        head, where, parameters = self._where(query)
        sql = f"{head}SELECT q.batch, q.kind, q.state, count(*) FROM quarantine q WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        return [QuarantineCount(*row) for row in self._session.query(sql, parameters)]

    def like(self, sought: Sequence[Sought], *, upto: int, root: int) -> Iterable[tuple[int, Quarantined]]:
        """Return the records sought."""
        once = [one for one in sought if one.count == 1]
        often = [one for one in sought if one.count > 1]
        if once:
            head, parameters = self._session.wanted([wanted_row(x=one.digest, y=one.after) for one in once])
            sql = (
                f"{head}SELECT w.x, e.id, e.kind, e.raw, (SELECT l.layout FROM quarantine_layouts l WHERE l.id = e.layout), e.cells "
                f"FROM wanted w CROSS JOIN quarantine e WHERE e.id = (SELECT q.id FROM quarantine q WHERE {_COUNTS} ORDER BY q.id LIMIT 1)"
            )
            yield from map(_likeness, self._session.query(sql, [*parameters, upto, root]))
        if often:
            head, parameters = self._session.wanted(
                [wanted_row(x=one.digest, y=one.after, z=one.count) for one in often]
            )
            sql = (
                f"{head}SELECT r.x, r.id, r.kind, r.raw, r.layout, r.cells FROM (SELECT w.x, w.z, q.id, q.kind, q.raw, {_LAYOUT} AS layout, "
                f"q.cells, row_number() OVER (PARTITION BY w.n ORDER BY q.id) AS place FROM wanted w CROSS JOIN quarantine q WHERE {_COUNTS}) "
                "AS r WHERE r.place <= r.z"
            )
            yield from map(_likeness, self._session.query(sql, [*parameters, upto, root]))

    def last_id(self) -> int:
        """Return the largest id of a record."""
        return int(self._session.query("SELECT coalesce(max(id), 0) FROM quarantine")[0][0])

    def replayed_before(self, ids: Sequence[int], *, batch: int) -> Mapping[int, int]:
        """Return how often records equal to some of *ids* were replayed by other batches."""
        if not ids:
            return {}
        head, parameters = self._session.wanted([wanted_row(x=number) for number in ids])
        sql = (
            f"{head}SELECT r.id, r.before FROM (SELECT min(q.id) AS id, (SELECT count(*) FROM quarantine p WHERE p.digest = q.digest "
            "AND p.raw = q.raw AND p.kind = q.kind AND p.state <> 'undone' AND p.state = 'replayed' AND p.changed_by <> ?) AS before "
            "FROM quarantine q WHERE q.id IN (SELECT x FROM wanted) GROUP BY q.digest, q.raw, q.kind) AS r WHERE r.before > 0"
        )
        return dict(self._session.query(sql, [*parameters, batch]))

    def matches_of(self, batch: int) -> Iterable[tuple[str, str, int, int, int]]:
        """Return what was kept for a batch."""
        sql = "SELECT kind, subject, ts_ns, seq, owner FROM quarantine_matches WHERE batch = ?"
        return [(row[0], row[1], row[2], row[3], row[4]) for row in self._session.query(sql, [batch])]

    def matches(self) -> Generator[Sequence[tuple[int, str, str, int, int, int]], None, None]:
        """Yield what was kept for all batches."""
        for page in self._session.stream("SELECT batch, kind, subject, ts_ns, seq, owner FROM quarantine_matches"):
            yield [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in page]

    def earlier(self) -> Generator[Sequence[tuple[Quarantined, int]], None, None]:
        """Yield what records were before batches changed them."""
        for page in self._session.stream(_EARLIER, size=1_024):
            yield [(_record(row[:-1]), row[-1]) for row in page]

    def _where(self, query: QuarantineQuery) -> tuple[str, str, list[Any]]:
        """Return what to write before a statement, the condition of *query*, and the parameters of both."""
        ways: list[tuple[str, list[Any]]] = []
        head: str = ""
        parameters: list[Any] = []
        for column, value in (("q.batch", query.batch), ("q.kind", query.kind), ("q.changed_by", query.changed_by)):
            if value is not None:
                ways.append((f"{column} = ?", [value]))
        if query.states is not None:
            ways.append(_any([("q.state = ?", [str(state)]) for state in query.states]))
        if query.symbols is not None:
            ways.append(_any([self._session.matches("q.subject", pattern) for pattern in query.symbols]))
        if query.rules is not None:
            broken = self._findings_with(query.rules)
            ways.append((f"q.findings IN ({', '.join('?' * len(broken))})" if broken else "FALSE", list(broken)))
        if query.origins is not None:
            condition, bound = matching_origins(self._session, query.origins)
            ways.append((f"q.batch IN (SELECT id FROM batches WHERE {condition})", bound))
        if query.ids is not None:
            head, parameters = self._session.wanted([wanted_row(x=number) for number in query.ids])
            ways.append(("q.id IN (SELECT x FROM wanted)", []))
        conditions = " AND ".join(condition for condition, _ in ways) or "TRUE"
        return head, conditions, [*parameters, *(value for _, values in ways for value in values)]

    def _findings_with(self, rules: Sequence[str]) -> list[int]:
        """Return the shared findings in which a rule matches one of the patterns."""
        compiled = [patterns.compiled(pattern) for pattern in rules]
        found = []
        for number, broken in self._session.query("SELECT id, rules FROM quarantine_findings"):
            with decoding("quarantine_findings", number):
                if any(rule is not None and one.fullmatch(rule) for rule in json.loads(broken) for one in compiled):
                    found.append(number)
        return found

    # Writing

    def add(self, records: Sequence[tuple[int, Quarantined]]) -> None:
        """Add records."""
        own_findings = self._condensed_findings([record for _, record in records])
        layouts = CellLayouts()
        cells = [layouts.of(record.raw, record.cells) for _, record in records]
        numbers = self._numbers(
            self._layouts,
            [layout for layout, _ in cells if layout is not None],
            "quarantine_layouts",
            lambda layout: {"layout": layout},
        )
        rows = []
        for (number, one), (shared, arguments), (layout, text) in zip(records, own_findings, cells, strict=True):
            own = (
                shared, arguments, str(one.state), one.changed_by, None if layout is None else numbers[layout], text,
            )  # fmt: skip
            rows.append((one.id, one.batch, one.kind, one.subject, one.ts_ns, one.row, one.raw, number, *own))
        self._session.bulk("quarantine", _COLUMNS, rows)

    def _condensed_findings(self, records: Sequence[Quarantined]) -> list[tuple[int, str | None]]:
        """Return the number of the shared text of each record's findings, and what is its own."""
        before: Quarantined | None = None
        parts: list[tuple[tuple[str, str], str | None]] = []
        for record in records:
            # Equal rows come in long runs, as the empty ones of a spreadsheet.
            if before is None or record.findings != before.findings:
                text, rules, arguments = split_findings(record.findings)
            parts.append(((text, rules), arguments))
            before = record
        numbers = self._numbers(
            self._findings,
            [shared for shared, _ in parts],
            "quarantine_findings",
            lambda shared: {"digest": digest(shared[0]), "text": shared[0], "rules": shared[1]},
        )
        return [(numbers[shared], arguments) for shared, arguments in parts]

    def _numbers(
        self, known: dict[Any, int], wanted: Iterable[Any], table: str, columns: Callable[[Any], Mapping[str, Any]]
    ) -> Mapping[Any, int]:
        """Return the numbers of shared texts, and add those that are new to their table."""
        asked = dict.fromkeys(wanted)
        missing = [one for one in asked if one not in known]
        if missing:
            if len(known) + len(missing) > _MOST_KEPT:
                known.clear()
                missing = list(asked)
            names = list(columns(missing[0]))
            known.update(self._stored_numbers(missing, table, columns, names))
            new = [one for one in missing if one not in known]
            first = 1 + int(self._session.query(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0])
            known.update(zip(new, range(first, first + len(new)), strict=True))
            self._session.bulk(table, ["id", *names], ((known[one], *columns(one).values()) for one in new))
        return known

    def _stored_numbers(
        self, texts: Sequence[Any], table: str, columns: Callable[[Any], Mapping[str, Any]], names: Sequence[str]
    ) -> Mapping[Any, int]:
        by_digest = "digest" in names
        asked = [columns(one) for one in texts]
        head, parameters = self._session.wanted(
            [wanted_row(x=one["digest"]) if by_digest else wanted_row(one["layout"]) for one in asked]
        )
        same = "t.digest = w.x" if by_digest else "t.layout = w.a"
        listed = ", ".join(f"t.{name}" for name in names)
        found: dict[tuple[Any, ...], int] = {}
        for number, *values in self._session.query(
            f"{head}SELECT t.id, {listed} FROM wanted w CROSS JOIN {table} t WHERE {same} ORDER BY t.id DESC",
            parameters,
        ):
            found[tuple(values)] = number
        keys = (tuple(one.values()) for one in asked)
        return {text: found[key] for text, key in zip(texts, keys, strict=True) if key in found}

    def set_state(self, query: QuarantineQuery, state: str, *, by: int) -> int:
        """Give the records of *query* a state."""
        self._log(*self._where(query), by)
        head, where, parameters = self._where(query)
        texts = len(parameters) - where.count("?")
        return self._session.run(
            f"{head}UPDATE quarantine AS q SET state = ?, changed_by = ? WHERE {where}",
            [*parameters[:texts], str(state), by, *parameters[texts:]],
        )

    def set_findings(self, records: Sequence[Quarantined], *, by: int) -> None:
        """Give open records other findings."""
        own = self._condensed_findings(records)
        news = [
            wanted_row(arguments, x=record.id, y=shared)
            for record, (shared, arguments) in zip(records, own, strict=True)
        ]
        found = "(SELECT w.x AS record, 'open' AS state, w.y AS findings, w.a AS arguments FROM wanted w)"
        self._change(news, found, "q.state = 'open'", by)

    def restore_states(self, batches: Sequence[int], *, by: int) -> None:
        """Give the records of *batches* what they are by the batches that count."""
        self._change([wanted_row(x=batch) for batch in batches], _BY_WHAT_COUNTS, "TRUE", by)

    def _change(self, wanted: Sequence[Wanted], found: str, where: str, by: int) -> None:
        """Give records the state and findings that a relation has for them, if these are others, and keep what they were."""
        same = self._session.same
        meets = (
            f"q.id = r.record AND {where} AND "
            f"NOT (q.state = r.state AND q.findings = r.findings AND q.arguments {same} r.arguments)"
        )
        head, parameters = self._session.wanted(wanted)
        self._session.run(
            f"{head}{_LOG} FROM {found} AS r CROSS JOIN quarantine q WHERE {meets} AND NOT (q.changed_by {same} ?)",
            [*parameters, by, by],
        )
        head, parameters = self._session.wanted(wanted)
        self._session.run(
            f"{head}UPDATE quarantine AS q SET state = r.state, findings = r.findings, arguments = r.arguments, changed_by = ? "
            f"FROM {found} AS r WHERE {meets}",
            [*parameters, by],
        )

    def _log(self, head: str, where: str, parameters: Sequence[Any], by: int) -> None:
        """Keep what records are before a batch changes them for the first time."""
        texts = len(parameters) - where.count("?")
        self._session.run(
            f"{head}{_LOG} FROM quarantine q WHERE {where} AND NOT (q.changed_by {self._session.same} ?)",
            [*parameters[:texts], by, *parameters[texts:], by],
        )

    def keep_matches(self, batch: int, matches: Sequence[tuple[str, str, int, int, int]]) -> None:
        """Keep which stored rows a batch was recognised as."""
        self._session.bulk(
            "quarantine_matches",
            ("batch", "kind", "subject", "ts_ns", "seq", "owner"),
            ((batch, *match) for match in matches),
        )

    def replace_all(
        self,
        records: Iterable[Sequence[tuple[int, Quarantined]]],
        earlier: Iterable[Sequence[tuple[Quarantined, int]]],
        matches: Iterable[Sequence[tuple[int, str, str, int, int, int]]],
    ) -> None:
        """Put records, what they were, and what was kept for batches in the place of all that is there."""
        for table in ("quarantine", *(f"quarantine_{part}" for part in ("history", "matches", "findings", "layouts"))):
            self._session.run(f"DELETE FROM {table}")
        self._findings.clear()
        self._layouts.clear()
        for some in records:
            self.add(some)
        for changed in earlier:
            own = self._condensed_findings([record for record, _ in changed])
            rows = [
                (one.id, str(one.state), shared, arguments, one.changed_by, by)
                for (one, by), (shared, arguments) in zip(changed, own, strict=True)
            ]
            self._session.bulk("quarantine_history", _HISTORY, rows)
        kept = itertools.chain.from_iterable(matches)
        self._session.bulk("quarantine_matches", ("batch", "kind", "subject", "ts_ns", "seq", "owner"), kept)


def _any(ways: Sequence[tuple[str, list[Any]]]) -> tuple[str, list[Any]]:
    condition = " OR ".join(one for one, _ in ways) or "FALSE"
    return f"({condition})", [value for _, values in ways for value in values]


def _record(row: Row) -> Quarantined:
    kind, subject, ts_ns, position, raw, findings, arguments, state, record, batch, changed_by, layout, cells = row
    with decoding("quarantine", record):
        return Quarantined(
            KINDS[kind].name,
            subject,
            ts_ns,
            position,
            raw,
            findings_of(findings, arguments),
            State(state).value,
            record,
            batch,
            changed_by,
            cells_of(layout, raw, cells),
        )


def _likeness(row: Row) -> tuple[int, Quarantined]:
    number, record, kind, raw, layout, cells = row
    with decoding("quarantine", record):
        return number, Quarantined(kind, None, None, None, raw, (), id=record, cells=cells_of(layout, raw, cells))

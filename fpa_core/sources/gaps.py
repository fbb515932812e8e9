"""Gaps: what a source has, by the exchange's calendar, and the ledger does not cover. And the plan that closes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from attrs import frozen

from fpa_core.calendars import session_dates, session_days
from fpa_core.intervals import is_dated, longest_ns
from fpa_core.kinds import CORPORATE_ACTIONS, KINDS
from fpa_core.protocols import CoverageEntry, HistoryRequest, HistorySource
from fpa_core.sources.ranges import Range, intersection, subtract, total, union

__all__ = [
    "Gap",
    "Plan",
    "PlannedFetch",
    "Subject",
    "expected_times",
    "find_gaps",
    "merge_coverage",
    "plan_fetches",
    "settled_until",
]

DAY_NS = 86_400 * 10**9


@frozen(order=True)
class Subject:
    """What the ledger is kept by: a kind and a symbol, with the interval of bars (else None), of a source."""

    kind: str
    symbol: str
    interval: str | None
    origin: str


@frozen
class Gap:
    """A range of time that a source has, and that was not fetched."""

    subject: Subject
    start_ns: int
    end_ns: int


@frozen
class PlannedFetch:
    """A request, with what it is expected to take."""

    request: HistoryRequest
    requests: int
    rows: int


@frozen
class Plan:
    """What fetching takes.

    :ivar seconds: the shortest time that the source's limit of requests allows.
    """

    fetches: tuple[PlannedFetch, ...]
    requests: int
    rows: int
    seconds: float


def merge_coverage(entries: Iterable[CoverageEntry]) -> dict[Subject, list[Range]]:
    """Return what the ledger covers, by subject, as ranges that are sorted and apart."""
    found: dict[Subject, list[Range]] = {}
    for one in entries:
        subject = Subject(one.kind, one.subject, one.interval, one.origin)
        found.setdefault(subject, []).append((one.start_ns, one.end_ns))
    return {subject: union(ranges) for subject, ranges in found.items()}


def settled_until(subject: Subject, now_ns: int, settles: float) -> int:
    """Return the instant before which what a source has is final: *settles* seconds old, and of bars those that have ended by then.

    Corporate actions stand at the beginning of their date, and become known in the course of it.
    """
    dated = subject.kind == CORPORATE_ACTIONS.name
    length = DAY_NS if dated else 0 if subject.interval is None else longest_ns(subject.interval)
    return now_ns - int(settles * 1e9) - length


def expected_times(subject: Subject, calendar: str | None, start: int, end: int) -> list[Range]:
    """Return when a source may have data in [start, end): on the days of sessions, and daily bars under their dates.

    Without a calendar, or before and after its years, at any time; corporate actions and bars of weeks and months, too.

    :raises MissingDependencyError: if there is a calendar, and exchange_calendars is not installed.
    :raises ConfigError: if the exchange is unknown.
    """
    whole = [(start, end)] if start < end else []
    dated = subject.interval is not None and is_dated(subject.interval)
    longer = dated and not str(subject.interval).endswith("d")
    if calendar is None or longer or subject.kind == CORPORATE_ACTIONS.name:
        return whole
    days = session_dates(calendar) if dated else session_days(calendar)
    outside = subtract(whole, [(days[0][0], days[-1][1])])
    return union([*intersection(whole, days), *outside])


def find_gaps(
    subject: Subject, covered: Sequence[Range], start: int, end: int, *, calendar: str | None, settled: int
) -> list[Gap]:
    """Return the gaps of [start, end), in order. What lies between them and is not expected does not divide them.

    :param settled: the instant from which on nothing is final yet; later times are not gaps.
    """
    expected = expected_times(subject, calendar, start, min(end, settled))
    missing = subtract(expected, covered)
    gaps: list[Gap] = []
    for first, last in missing:
        if gaps and not total(intersection([(gaps[-1].end_ns, first)] if gaps[-1].end_ns < first else [], expected)):
            gaps[-1] = Gap(subject, gaps[-1].start_ns, last)
        else:
            gaps.append(Gap(subject, first, last))
    return gaps


def plan_fetches(source: HistorySource, gaps: Iterable[Gap]) -> Plan:
    """Return the requests that close gaps, and what they take."""
    fetches = []
    for gap in gaps:
        request = HistoryRequest(
            kind=KINDS[gap.subject.kind],
            symbol=gap.subject.symbol,
            interval=gap.subject.interval,
            start=gap.start_ns,
            end=gap.end_ns,
        )
        expected = source.estimate(request)
        fetches.append(PlannedFetch(request, expected.requests, expected.rows))
    requests = sum(one.requests for one in fetches)
    limit = source.limit
    seconds = 0.0 if limit is None else max(0, math.ceil(requests / limit.requests) - 1) * limit.seconds
    return Plan(tuple(fetches), requests, sum(one.rows for one in fetches), seconds)

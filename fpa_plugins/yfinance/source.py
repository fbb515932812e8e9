"""The source ``yfinance``: bars, splits and dividends of Yahoo Finance, from the frames of yfinance.

yfinance answers with a frame, or logs an error and answers with an empty one. Its session, its cache and its settings belong to the whole process. So
requests go through a session of ours, errors are raised while we ask, one question at a time, and its cache of answers is emptied before each.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import yfinance
from curl_cffi.requests.exceptions import RequestException
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError, YFTzMissingError

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError, SourceError
from fpa_core.intervals import is_dated
from fpa_core.kinds import BARS, CORPORATE_ACTIONS
from fpa_core.models import Bar, CorporateAction, CorporateActionType
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, Chunk, Estimate, HistoryRequest, Page, RateLimit, Reject, SourceRequest
from fpa_core.sources.history import read_history
from fpa_core.sources.rates import RateLimiter
from fpa_plugins.yfinance.prices import Split, factor_on, ratio_of, shortest, whole
from fpa_plugins.yfinance.session import LimitedSession, Stopped

if TYPE_CHECKING:
    import pandas as pd

    from fpa_plugins.yfinance.options import YfinanceOptions

__all__ = ["YfinanceSource"]

_log = logging.getLogger("fpa.yfinance")

DAY_NS = 86_400 * 10**9
LONGEST_BACKOFF = 60.0

INTERVALS = {"1m": "1m", "2m": "2m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "60m", "90m": "90m", "1d": "1d"}
"""Yahoo's word for each interval of bars. Bars of weeks and months are made of those of days."""

DAYS_AT_ONCE = {"1m": 7, "1h": 700}
"""Days of bars within the day that Yahoo gives in one answer; of other intervals it has 60 days in all."""

BARS_PER_DAY = {"1m": 390, "2m": 195, "5m": 78, "15m": 26, "30m": 13, "1h": 7, "90m": 5, "1d": 1}

LATE_OPENING_HOURS = 10
"""How many hours ahead of UTC an exchange is at most that opens after midnight in UTC."""

_PAID = {"Dividends": CorporateActionType.DIVIDEND, "Capital Gains": CorporateActionType.SPECIAL_DIVIDEND}
"""The columns of a frame that hold what was paid for a share."""

SUBUNITS = {"GBp": "GBP", "ZAc": "ZAR", "ILA": "ILS"}
"""Currencies whose hundredths prices are in. Yahoo sends dividends in either, and does not say in which."""

_lock = threading.Lock()


@contextlib.contextmanager
def _asking(session: LimitedSession, stop: threading.Event) -> Iterator[None]:
    """Have yfinance, for one question, use a session, raise its errors, and forget earlier answers."""
    with _lock, warnings.catch_warnings():
        # yfinance uses what pandas deprecates; its users can do nothing about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        hidden, before = yfinance.config.debug.hide_exceptions, YfData()._session  # noqa: SLF001  # it can only be set
        yfinance.config.debug.hide_exceptions = False
        session.stop = stop
        try:
            YfData(session=session)
            YfData.cache_get.cache_clear()
            yield
        finally:
            YfData(session=before)
            yfinance.config.debug.hide_exceptions = hidden


class YfinanceSource:
    """See :class:`fpa_core.protocols.HistorySource`.

    :param clock: the present time in nanoseconds.
    """

    capabilities = frozenset({Capability.HISTORY})

    def __init__(self, options: YfinanceOptions, clock: Callable[[], int] = time.time_ns) -> None:
        self.origin = "yfinance" if options.prices == "raw" else f"yfinance:{options.prices}"
        self.settles = options.settles
        self.calendar = options.calendar
        self.limit: RateLimit | None = RateLimit(options.requests_per_minute, 60.0)
        self._options = options
        self._clock = clock
        url = None if options.url is None else options.url.rstrip("/")
        self._session = LimitedSession(RateLimiter(self.limit), options.timeout, url)

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the rows of a symbol for ``fpa ingest --via``."""
        return read_history(self, request, self._clock)

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what a history is expected to take; days without sessions count, and a request for the time zone of a symbol that is new to yfinance."""
        days = -(-(request.end - request.start) // DAY_NS)
        if request.kind is CORPORATE_ACTIONS:
            return Estimate(2, -(-days * 5 // 365))  # four dividends a year, and now and then a split
        interval = str(request.interval)
        if is_dated(interval):
            return Estimate(2, days)
        answers = max(1, -(-days // DAYS_AT_ONCE.get(interval, 60)))
        return Estimate(answers + 1 + (self._options.prices == "raw"), days * BARS_PER_DAY.get(interval, 390))

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the pages of a history: all days at once, bars within the day in windows."""
        if request.start >= request.end:
            return iter(())
        if request.kind is CORPORATE_ACTIONS:
            return self._days(request, self._action_chunk)
        if request.kind is not BARS:
            raise DataError(
                f"{self.origin} has no history of {request.kind.name}",
                hint="it has bars and corporate_actions",
                field="kind",
            )
        interval = str(request.interval)
        if interval not in INTERVALS:
            raise DataError(
                f"{self.origin} has no bars of the interval {interval!r}",
                hint=f"it has {', '.join(INTERVALS)}; make longer ones of days: data.store.bars(..., '1w', from_='1d')",
                field="interval",
                value=interval,
            )
        return self._days(request, self._bar_chunk) if is_dated(interval) else self._within_days(request)

    def _days(
        self, request: HistoryRequest, chunk_of: Callable[[HistoryRequest, Any, list[Split]], Chunk | None]
    ) -> Iterator[Page]:
        """Yield one page. Days up to now are asked for, since later splits tell what the wanted ones were divided by."""
        try:
            frame = self._frame(request, _date(request.start), self._after_today(), "1d")
        except Stopped:
            return
        yield Page(None if frame is None else chunk_of(request, frame, _splits(frame)), request.end)

    def _within_days(self, request: HistoryRequest) -> Iterator[Page]:
        interval = str(request.interval)
        splits: list[Split] = []
        at, step = request.start, DAYS_AT_ONCE.get(interval, 60) * DAY_NS
        try:
            if self._options.prices == "raw":
                days = self._frame(request, _date(request.start), self._after_today(), "1d")
                splits = [] if days is None else _splits(days)
            while at < request.end:
                until = min(request.end, at + step)
                # Yahoo takes whole seconds; the rows outside the range are left out afterwards.
                frame = self._frame(request, _time(at), _time(until + 10**9 - 1), INTERVALS[interval])
                chunk = None if frame is None else self._bar_chunk(request, frame, splits, (at, until))
                yield Page(chunk, until)
                at = until
        except Stopped:
            return

    def _after_today(self) -> date:
        """Return a date that is after today's at every exchange."""
        return _date(self._clock()) + timedelta(days=2)

    # Asking

    def _frame(self, request: HistoryRequest, start: Any, end: Any, interval: str) -> pd.DataFrame | None:
        """Return a frame of yfinance; None if the symbol has no rows in the range.

        :raises SourceError: if Yahoo refuses, or does not answer properly within the budget of tries.
        :raises DataError: if it has no such symbol.
        """
        options = self._options
        for number in range(1, options.tries + 1):
            try:
                return self._ask(request, start, end, interval)
            except SourceError as error:
                if not error.transient or number == options.tries:
                    raise
                _log.warning("%s; trying again", error.message)
                if request.stop.wait(min(LONGEST_BACKOFF, options.backoff * 2 ** (number - 1))):
                    raise Stopped from None
        raise AssertionError("unreachable")

    def _ask(self, request: HistoryRequest, start: Any, end: Any, interval: str) -> pd.DataFrame | None:
        try:
            with _asking(self._session, request.stop):
                return self._answer(request.symbol, start, end, interval)
        except YFTzMissingError:
            raise DataError(
                f"{self.origin}: Yahoo has no symbol {request.symbol!r}",
                hint="write symbols as Yahoo does: BRK-B, VOD.L, ^GSPC, EURUSD=X",
                field="symbol",
                value=request.symbol,
            ) from None
        except YFRateLimitError:
            raise self._error("Yahoo answers that there are too many requests", transient=True) from None
        except YFException as error:
            explained = isinstance(error, YFPricesMissingError) and error.yahoo_reason is not None
            raise self._error(str(error), transient=not explained) from None
        except RequestException as error:
            raise self._error(f"the request failed: {type(error).__name__}", transient=True) from None
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            # yfinance stumbles over an answer of another shape, such as an error page.
            raise self._error(f"Yahoo's answer cannot be read: {type(error).__name__}", transient=True) from None

    def _answer(self, symbol: str, start: Any, end: Any, interval: str) -> pd.DataFrame | None:
        ticker = yfinance.Ticker(symbol, session=self._session)
        try:
            frame = ticker.history(
                start=start,
                end=end,
                interval=interval,
                prepost=self._options.prepost,
                auto_adjust=self._options.prices == "adjusted",
                actions=True,
                timeout=self._options.timeout,
            )
        except YFPricesMissingError as error:
            if error.yahoo_reason is None and (ticker.history_metadata or {}).get("symbol"):
                return None  # Yahoo knows the symbol, and has no rows
            raise
        frame.attrs["currency"] = ticker.history_metadata.get("currency")
        return frame

    def _error(self, problem: str, *, transient: bool = False) -> SourceError:
        hint = "try later" if transient else None
        return SourceError(f"{self.origin}: {problem}", source=self.origin, transient=transient, hint=hint)

    # Frames to records

    def _bar_chunk(
        self, request: HistoryRequest, frame: pd.DataFrame, splits: list[Split], within: tuple[int, int] | None = None
    ) -> Chunk | None:
        start, end = within or (request.start, request.end)
        interval = str(request.interval)
        adjusted = self._options.prices != "raw"
        records, rows, rejects = [], [], []
        columns = [frame[name] for name in ("Open", "High", "Low", "Close", "Volume")]
        for row, (stamp, *values) in enumerate(zip(frame.index, *columns, strict=True), 1):
            at = _midnight(stamp.date()) if is_dated(interval) else stamp.value
            if not start <= at < end or all(value != value for value in values[:4]):  # noqa: PLR0124  # nan: a day with an action alone
                continue
            factor = factor_on([] if adjusted else splits, stamp.date())
            opened, high, low, close = (shortest(value, factor) for value in values[:4])
            try:
                volume = whole(values[4], factor)
                records.append(Bar(request.symbol, Instant(at), opened, high, low, close, volume, interval))  # type: ignore[arg-type]  # a missing close is refused
                rows.append(row)
            except DataError as error:
                rejects.append(Reject(row, f"{stamp.isoformat()},{','.join(map(str, values))}", error.message))
        if not records and not rejects:
            return None
        return Chunk(BARS, to_table(BARS, records), rows, rejects)

    def _action_chunk(self, request: HistoryRequest, frame: pd.DataFrame, splits: list[Split]) -> Chunk | None:
        """Return splits, dividends and gains paid out by funds under their ex-dates. Amounts are for a share as it then was."""
        zone = frame.index.tz
        records, rejects = self._paid(request, frame, splits)
        for split in splits:
            at, ratio = _ex_date(split.on, zone), split.ratio
            if request.start <= at < request.end:
                new, old = ratio.numerator, ratio.denominator
                records.append(CorporateAction(request.symbol, at, CorporateActionType.SPLIT, new, old))
        if not records and not rejects:
            return None
        records.sort(key=lambda one: one.ts_ns)
        return Chunk(CORPORATE_ACTIONS, to_table(CORPORATE_ACTIONS, records), range(1, len(records) + 1), rejects)

    def _paid(
        self, request: HistoryRequest, frame: pd.DataFrame, splits: list[Split]
    ) -> tuple[list[CorporateAction], list[Reject]]:
        """Return what was paid for a share; what is in an unknown currency is rejected."""
        currency = frame.attrs["currency"]
        records: list[CorporateAction] = []
        rejects: list[Reject] = []
        for name, kind in _PAID.items():
            column = frame[name] if name in frame else frame["Dividends"][:0]
            for row, (stamp, value) in enumerate(column.items(), 1):
                on = stamp.date()
                at = _ex_date(on, frame.index.tz)
                if not value > 0 or not request.start <= at < request.end:
                    continue
                if currency is None or currency in SUBUNITS:
                    unit = "an unknown currency" if currency is None else f"{currency} or {SUBUNITS[currency]}"
                    problem = f"CorporateAction.currency: the amount is in {unit}: Yahoo does not say"
                    rejects.append(Reject(row, f"{request.symbol},{on},{name},{value}", problem))
                    continue
                amount = shortest(value, factor_on(splits, on))
                word = None if kind is CorporateActionType.DIVIDEND else name
                records.append(
                    CorporateAction(request.symbol, at, kind, amount=amount, currency=currency, type_raw=word)
                )
        return records, rejects


def _splits(frame: pd.DataFrame) -> list[Split]:
    """Return the splits of a frame of days, in order of time."""
    column = frame["Stock Splits"]
    return [Split(stamp.date(), ratio_of(value)) for stamp, value in column[column > 0].items()]


def _date(ns: int) -> date:
    return datetime.fromtimestamp(ns // 10**9, UTC).date()


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 10**9, UTC)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9


def _ex_date(day: date, zone: Any) -> Instant:
    """Return the first instant without the claim: midnight in UTC, or that of an exchange so far east that it is open by then."""
    own = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(str(zone)))
    offset = own.utcoffset()
    if offset is not None and offset > timedelta(hours=LATE_OPENING_HOURS):
        return Instant(int(own.timestamp()) * 10**9)
    return Instant(_midnight(day))

"""Corporate actions as Alpaca lists them: an object of lists, one for each type.

Source: "Corporate actions", Alpaca market data API. Its start and end are dates on which actions are processed, which for a dividend is when it is paid:
weeks after its ex-date. So later dates are asked for than those that are wanted.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fpa_core.arrow.conversion import to_table
from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import CORPORATE_ACTIONS
from fpa_core.models import CorporateAction
from fpa_core.numbers import Instant, to_decimal, to_ns
from fpa_core.protocols import Chunk, Estimate, HistoryRequest, Page, Reject
from fpa_plugins.alpaca.library import CorporateActionsClient
from fpa_plugins.alpaca.messages import raw_text
from fpa_plugins.alpaca.rest import Stopped, stopping

__all__ = ["CorporateActions", "is_share", "to_action"]

DAY_NS = 86_400 * 10**9

PROCESSED_LATER_NS = 120 * DAY_NS
"""How long after its ex-date an action is processed at most."""

SYMBOLS_AT_ONCE = 200
"""Symbols of one request: so many fit into an address."""

_SHARE = re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,3})?")

_TYPES = {
    "forward_splits": "split",
    "reverse_splits": "split",
    "stock_dividends": "split",
    "cash_dividends": "dividend",
    "spin_offs": "spinoff",
    "cash_mergers": "merger",
    "stock_mergers": "merger",
    "stock_and_cash_mergers": "merger",
    "name_changes": "symbol_change",
}

Message = Mapping[str, Any]


def is_share(symbol: str) -> bool:
    """Return whether a symbol may be that of a share: coins and options have no corporate actions here, and are refused."""
    return _SHARE.fullmatch(symbol) is not None


class CorporateActions:
    """Alpaca's corporate actions."""

    def __init__(self, rest: CorporateActionsClient) -> None:
        self._rest = rest

    def since(
        self, symbols: Sequence[str], start: int, end: int, stop: threading.Event
    ) -> tuple[list[CorporateAction], list[Reject]]:
        """Return the actions of symbols that are processed from *start* on, with an ex-date before *end*; and what is not one.

        :raises Stopped: if *stop* is set meanwhile.
        """
        found: list[CorporateAction] = []
        rejects: list[Reject] = []
        messages = (
            each
            for first in range(0, len(symbols), SYMBOLS_AT_ONCE)
            for each in self._messages(symbols[first : first + SYMBOLS_AT_ONCE], start, end)
        )
        with stopping(stop):
            for row, (kind, message) in enumerate(messages, 1):
                try:
                    action = to_action(kind, message)
                except (DataError, KeyError, TypeError, AttributeError) as error:
                    problem = error.message if isinstance(error, DataError) else f"the message has no {error}"
                    rejects.append(Reject(row, raw_text({"type": kind, **message}), problem))
                    continue
                if action.ts_ns < end:
                    found.append(action)
        return found, rejects

    def estimate(self, request: HistoryRequest) -> Estimate:
        """Return what a history is expected to take: four dividends a year, and now and then something else."""
        days = -(-(request.end - request.start) // DAY_NS)
        return Estimate(1, -(-days * 5 // 365))

    def history(self, request: HistoryRequest) -> Iterator[Page]:
        """Yield the actions of a symbol with an ex-date in a range, as one page."""
        try:
            actions, rejects = self.since([request.symbol], request.start, request.end, request.stop)
        except Stopped:
            return
        wanted = sorted((one for one in actions if request.start <= one.ts_ns), key=lambda one: one.ts_ns)
        chunk = None
        if wanted or rejects:
            chunk = Chunk(CORPORATE_ACTIONS, to_table(CORPORATE_ACTIONS, wanted), range(1, len(wanted) + 1), rejects)
        yield Page(chunk, request.end)

    def _messages(self, symbols: Sequence[str], start: int, end: int) -> Iterator[tuple[str, Message]]:
        parameters: dict[str, Any] = {
            "symbols": ",".join(symbols),
            "start": _date(start),
            "end": _date(end + PROCESSED_LATER_NS),
            "limit": 1_000,
            "sort": "asc",
        }
        token = None
        while True:
            answer: Any = self._rest.get(
                "/corporate-actions", parameters | ({"page_token": token} if token is not None else {})
            )
            lists = answer.get("corporate_actions") if isinstance(answer, dict) else None
            if not isinstance(lists, dict):
                raise SourceError("alpaca: an answer has no corporate actions", source="alpaca", status=200)
            for kind, messages in lists.items():
                for message in messages:
                    yield kind, message
            last, token = token, answer.get("next_page_token")
            if token is None:
                return
            if token == last:
                raise SourceError("alpaca: two pages of corporate actions have the same token", source="alpaca")


def to_action(kind: str, message: Message) -> CorporateAction:
    """Return a corporate action under its ex-date, of a list of that name. Rates are new shares for old ones, or cash for a share.

    :raises DataError: if it is of another type.
    """
    own = _TYPES.get(kind, kind)
    if own == "dividend" and message.get("special"):
        own = "special_dividend"
    new, old = _first(message, "new_rate", "acquirer_rate"), _first(message, "old_rate", "source_rate", "acquiree_rate")
    amount = _first(message, "cash_rate", "rate")
    if kind == "stock_dividends" and amount is not None:
        new, old = Decimal(1) + to_decimal(amount, "rate"), Decimal(1)
    if own in {"split", "spinoff", "symbol_change"}:
        amount = None
    at = _first(message, "ex_date", "effective_date", "process_date")
    return CorporateAction(
        _first(message, "symbol", "old_symbol", "source_symbol", "acquiree_symbol"),
        _instant(at),  # type: ignore[arg-type]  # a missing one is refused
        own,
        new,
        old,
        amount,
        new_symbol=_first(message, "new_symbol", "acquirer_symbol"),
        record_date=_instant(message.get("record_date")),
        payable_date=_instant(message.get("payable_date")),
        type_raw=kind,
    )


def _first(message: Message, *names: str) -> Any:
    return next((message[name] for name in names if message.get(name) not in (None, "")), None)


def _instant(value: Any) -> Instant | None:
    return None if value is None else Instant(to_ns(value, dates=True))


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).date().isoformat()

"""The account: totals, positions, orders, fills and cash flows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from fpa_core.exceptions import DataError, SourceError
from fpa_core.kinds import CASH, FILLS, ORDERS, Kind
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import AccountRequest, AccountState, Reject
from fpa_plugins.alpaca.library import TradingClient
from fpa_plugins.alpaca.messages import account_name, raw_text, to_activity, to_order, to_position, to_snapshot
from fpa_plugins.alpaca.rest import stopping

__all__ = ["AlpacaClient"]

ACTIVITIES_AT_ONCE = 100
"""Activities on one page, at most."""

ORDERS_AT_ONCE = 500
"""Orders in one answer, at most; there are no pages."""


class AlpacaClient:
    """Alpaca's account.

    :param clock: the present time in nanoseconds, which a snapshot gets: Alpaca gives none.
    """

    def __init__(self, rest: TradingClient, clock: Callable[[], int] = time.time_ns) -> None:
        self._rest = rest
        self._clock = clock

    def name(self, stop: threading.Event) -> str:
        """Return what records call the account.

        :raises Stopped: if *stop* is set meanwhile.
        """
        with stopping(stop):
            return account_name(_object(self._rest.get_account(), "account"))

    def account(self, request: AccountRequest) -> AccountState:
        """Return totals, positions, orders and activities."""
        with stopping(request.stop):
            account = _object(self._rest.get_account(), "account")
            positions = [to_position(one) for one in _list(self._rest.get_all_positions(), "positions")]
            snapshot = to_snapshot(account, positions, self._clock())
            found: dict[Kind, list[Any]] = {kind: [] for kind in (ORDERS, FILLS, CASH)}
            rejects: dict[Kind, list[Reject]] = {kind: [] for kind in found}
            for kind, messages, make in (
                (ORDERS, self._orders(request.since), to_order),
                (None, self._activities(request.activities_since), to_activity),
            ):
                for row, message in enumerate(messages, 1):
                    own = kind or (FILLS if message.get("activity_type") == "FILL" else CASH)
                    try:
                        found[own].append(make(message, snapshot.account))
                    except (DataError, KeyError, TypeError) as error:
                        problem = error.message if isinstance(error, DataError) else f"the message has no {error}"
                        rejects[own].append(Reject(row, raw_text(message), problem))
        return AccountState(snapshot, found[ORDERS], [*found[FILLS], *found[CASH]], rejects)

    def _activities(self, since: int | None) -> Iterator[Any]:
        """Yield fills, cash flows and other activities since a time, or all, in their order, page by page."""
        parameters: dict[str, Any] = {"direction": "asc", "page_size": ACTIVITIES_AT_ONCE}
        if since is not None:
            parameters["after"] = ns_text(since)
        while True:
            page = _list(self._rest.get("/account/activities", parameters), "activities")
            yield from page
            if len(page) < ACTIVITIES_AT_ONCE:
                return
            if parameters.get("page_token") == page[-1]["id"]:
                raise SourceError("alpaca: two pages of activities end with the same one", source="alpaca")
            parameters["page_token"] = page[-1]["id"]

    def _orders(self, since: int | None) -> Iterator[Any]:
        """Yield orders submitted since a time, or all, in the order of submission, each once.

        Alpaca gives 500 at most, submitted after a time, which is excluded: so the last time of an answer is asked for again, less a nanosecond.
        """
        after = None if since is None else since - 1
        seen: set[str] = set()
        while True:
            parameters = {"status": "all", "limit": ORDERS_AT_ONCE, "direction": "asc", "nested": "false"}
            page = _list(
                self._rest.get("/orders", parameters | ({} if after is None else {"after": ns_text(after)})), "orders"
            )
            new = [order for order in page if order["id"] not in seen]
            seen.update(order["id"] for order in new)
            yield from new
            if len(page) < ORDERS_AT_ONCE:
                return
            if not new:
                raise SourceError(
                    f"alpaca: more than {ORDERS_AT_ONCE} orders were submitted at the same instant, of which it lists no more",
                    source="alpaca",
                )
            after = to_ns(page[-1]["submitted_at"]) - 1


def _object(answer: Any, name: str) -> Any:
    if not isinstance(answer, dict):
        raise SourceError(f"alpaca: the answer for {name} is not an object", source="alpaca", status=200)
    return answer


def _list(answer: Any, name: str) -> Any:
    if not isinstance(answer, list):
        raise SourceError(f"alpaca: the answer for {name} is not a list", source="alpaca", status=200)
    return answer

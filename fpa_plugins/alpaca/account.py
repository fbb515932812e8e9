"""The account: totals, positions and orders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fpa_core.exceptions import DataError, SourceError
from fpa_core.numbers import ns_text, to_ns
from fpa_core.protocols import AccountRequest, AccountState, Reject
from fpa_plugins.alpaca.messages import raw_text, to_order, to_position, to_snapshot
from fpa_plugins.alpaca.rest import TradingRest, stopping

__all__ = ["AlpacaClient"]

ORDERS_AT_ONCE = 500
"""Orders in one answer, at most; there are no pages."""


class AlpacaClient:
    """Alpaca's account.

    :param clock: the present time in nanoseconds, which a snapshot gets: Alpaca gives none.
    """

    def __init__(self, rest: TradingRest, clock: Callable[[], int] = time.time_ns) -> None:
        self._rest = rest
        self._clock = clock

    def account(self, request: AccountRequest) -> AccountState:
        """Return totals, positions and orders."""
        with stopping(request.stop):
            account = _object(self._rest.get_account(), "account")
            positions = [to_position(one) for one in _list(self._rest.get_all_positions(), "positions")]
            orders, rejects = [], []
            for row, message in enumerate(self._orders(request.since), 1):
                try:
                    orders.append(to_order(message))
                except (DataError, KeyError, TypeError) as error:
                    problem = error.message if isinstance(error, DataError) else f"the order has no {error}"
                    rejects.append(Reject(row, raw_text(message), problem))
        return AccountState(to_snapshot(account, positions, self._clock()), orders, rejects)

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

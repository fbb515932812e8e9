"""Store a made-up year of two accounts, and show what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fpa_core.demo.year import ACCOUNTS, LAST, made_up_year
from fpa_core.layer import DataLayer

__all__ = ["store_year"]

END = f"{LAST.year + 1}-01-01"
CURRENCY = "USD"


def store_year(data: DataLayer, seed: int, say: Callable[[str], Any]) -> dict[str, Any]:
    """Ingest the year of a seed, report what the accounts come to with *say*, and return it as plain values."""
    year = made_up_year(seed)
    receipt = data.ingest(year.records, origin="demo")
    say(
        f"\na year of two accounts: {len(year.orders)} orders, {len(year.fills)} fills, {len(year.flows)} cash flows, {len(year.actions)} splits and dividends, "
        f"{len(year.bars):,} daily bars and {len(year.snapshots)} snapshots stored as batch {receipt.batch}"
    )
    accounts = [_account(data, account) for account in ACCOUNTS]
    for one in accounts:
        state = "everything adds up" if not one["discrepancies"] else f"{one['discrepancies']} discrepancies"
        say(
            f"  {one['account']}: {one['positions']} positions, {one['equity']:,.2f} {CURRENCY}, "
            f"{100 * one['return']:+.2f} % without deposits; {state}"
        )
    say("  Ask: fpa portfolio positions main; fpa portfolio pnl main --by symbol; fpa portfolio reconcile main")
    return {"receipt": receipt.as_dict(), "accounts": accounts}


def _account(data: DataLayer, account: str) -> dict[str, Any]:
    ask = data.portfolio
    (*_, last) = ask.equity(account, every="year", currency=CURRENCY, end=END)
    return {
        "account": account,
        "positions": len(ask.positions(account, as_of=END)),
        "equity": last.equity,
        "return": ask.returns(account, currency=CURRENCY, end=END),
        "discrepancies": len(ask.reconcile(account)),
    }

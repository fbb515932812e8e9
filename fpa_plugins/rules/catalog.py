"""The standard rules, in the order in which they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_plugins.rules import (
    account_history,
    bands,
    bar_history,
    bar_times,
    bars,
    consistency,
    executions,
    identities,
    jumps,
    order_history,
    orders,
    portfolio,
    quotes,
    sequence,
    sessions,
    standstill,
    ticks,
    time,
    trades,
    windows,
)

if TYPE_CHECKING:
    from fpa_core.validator import Rule

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    *quotes.RULES,
    *trades.RULES,
    *bars.RULES,
    *time.RULES,
    *orders.RULES,
    *portfolio.RULES,
    *sequence.RULES,
    *sessions.RULES,
    *jumps.RULES,
    *bar_history.RULES,
    *bar_times.RULES,
    *identities.RULES,
    *standstill.RULES,
    *windows.RULES,
    *order_history.RULES,
    *account_history.RULES,
    *consistency.RULES,
    *ticks.RULES,
    *bands.RULES,
    *executions.RULES,
)
"""The standard rules."""

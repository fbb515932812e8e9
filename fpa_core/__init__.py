"""Exact, checked and cached market data and portfolio records, on backends of your choice.

The names below are the public surface. They are imported when first used, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpa_core.hookspecs import hookimpl
    from fpa_core.models import (
        Bar,
        Order,
        OrderStatus,
        OrderType,
        PortfolioSnapshot,
        Position,
        PositionSide,
        Quote,
        Side,
        TimeInForce,
        Trade,
    )

_HOMES = {
    "Bar": "models",
    "Order": "models",
    "OrderStatus": "models",
    "OrderType": "models",
    "PortfolioSnapshot": "models",
    "Position": "models",
    "PositionSide": "models",
    "Quote": "models",
    "Side": "models",
    "TimeInForce": "models",
    "Trade": "models",
    "hookimpl": "hookspecs",
}

__all__ = [  # noqa: PLE0604
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

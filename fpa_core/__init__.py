"""Exact, checked and cached market data and portfolio records, on backends of your choice.

The names below, and ``open``, are the public surface. Each is imported when it is first used, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpa_core.cache import DataCache
    from fpa_core.exceptions import (
        CacheError,
        ConfigError,
        DatabaseError,
        DataError,
        FpaError,
        PluginError,
        SourceError,
        StaleDataError,
        ValidationError,
    )
    from fpa_core.hookspecs import hookimpl
    from fpa_core.layer import DataLayer, open_layer
    from fpa_core.layer.asynclayer import AsyncDataLayer, aopen
    from fpa_core.models import (
        Bar,
        CashFlow,
        CashFlowType,
        CorporateAction,
        CorporateActionType,
        Fill,
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
    from fpa_core.numbers import Instant
    from fpa_core.protocols import Receipt, Severity
    from fpa_core.store import DataStore, Selection
    from fpa_core.validator import DataValidator, Rule, ValidationResult

    open = open_layer  # noqa: A001  # `fpa_core.open()` is how one begins

__all__ = [
    "AsyncDataLayer",
    "Bar",
    "CacheError",
    "CashFlow",
    "CashFlowType",
    "ConfigError",
    "CorporateAction",
    "CorporateActionType",
    "DataCache",
    "DataError",
    "DataLayer",
    "DataStore",
    "DataValidator",
    "DatabaseError",
    "Fill",
    "FpaError",
    "Instant",
    "Order",
    "OrderStatus",
    "OrderType",
    "PluginError",
    "PortfolioSnapshot",
    "Position",
    "PositionSide",
    "Quote",
    "Receipt",
    "Rule",
    "Selection",
    "Severity",
    "Side",
    "SourceError",
    "StaleDataError",
    "TimeInForce",
    "Trade",
    "ValidationError",
    "ValidationResult",
    "aopen",
    "hookimpl",
]

_HOMES = {
    "cache": ("DataCache",),
    "exceptions": (
        "CacheError",
        "ConfigError",
        "DataError",
        "DatabaseError",
        "FpaError",
        "PluginError",
        "SourceError",
        "StaleDataError",
        "ValidationError",
    ),
    "hookspecs": ("hookimpl",),
    "layer": ("DataLayer", "open"),
    "layer.asynclayer": ("AsyncDataLayer", "aopen"),
    "models": (
        "Bar",
        "CashFlow",
        "CashFlowType",
        "CorporateAction",
        "CorporateActionType",
        "Fill",
        "Order",
        "OrderStatus",
        "OrderType",
        "PortfolioSnapshot",
        "Position",
        "PositionSide",
        "Quote",
        "Side",
        "TimeInForce",
        "Trade",
    ),
    "numbers": ("Instant",),
    "protocols": ("Receipt", "Severity"),
    "store": ("DataStore", "Selection"),
    "validator": ("DataValidator", "Rule", "ValidationResult"),
}
"""Where each name lives."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            home = importlib.import_module(f"{__name__}.{module}")
            value = globals()[name] = getattr(home, "open_layer" if name == "open" else name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "open"})

"""Exact, checked and cached market data and portfolio records, on backends of your choice.

The names below are the public surface. They are imported when first used, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpa_core.cache import DataCache as DataCache
    from fpa_core.exceptions import (
        CacheError as CacheError,
    )
    from fpa_core.exceptions import (
        ConfigError as ConfigError,
    )
    from fpa_core.exceptions import (
        DatabaseError as DatabaseError,
    )
    from fpa_core.exceptions import (
        DataError as DataError,
    )
    from fpa_core.exceptions import (
        FpaError as FpaError,
    )
    from fpa_core.exceptions import (
        PluginError as PluginError,
    )
    from fpa_core.exceptions import (
        ValidationError as ValidationError,
    )
    from fpa_core.hookspecs import hookimpl as hookimpl
    from fpa_core.layer import DataLayer as DataLayer
    from fpa_core.layer import open_layer as open  # noqa: A004
    from fpa_core.models import (
        Bar as Bar,
    )
    from fpa_core.models import (
        Order as Order,
    )
    from fpa_core.models import (
        OrderStatus as OrderStatus,
    )
    from fpa_core.models import (
        OrderType as OrderType,
    )
    from fpa_core.models import (
        PortfolioSnapshot as PortfolioSnapshot,
    )
    from fpa_core.models import (
        Position as Position,
    )
    from fpa_core.models import (
        PositionSide as PositionSide,
    )
    from fpa_core.models import (
        Quote as Quote,
    )
    from fpa_core.models import (
        Side as Side,
    )
    from fpa_core.models import (
        TimeInForce as TimeInForce,
    )
    from fpa_core.models import (
        Trade as Trade,
    )
    from fpa_core.protocols import Severity as Severity
    from fpa_core.receipt import Receipt as Receipt
    from fpa_core.store import DataStore as DataStore
    from fpa_core.store import Selection as Selection
    from fpa_core.validator import DataValidator as DataValidator
    from fpa_core.validator import Rule as Rule
    from fpa_core.validator import ValidationResult as ValidationResult

_HOMES = {
    "Bar": "models",
    "CacheError": "exceptions",
    "ConfigError": "exceptions",
    "DataCache": "cache",
    "DataError": "exceptions",
    "DataLayer": "layer",
    "DataStore": "store",
    "DataValidator": "validator",
    "DatabaseError": "exceptions",
    "FpaError": "exceptions",
    "Order": "models",
    "OrderStatus": "models",
    "OrderType": "models",
    "PluginError": "exceptions",
    "PortfolioSnapshot": "models",
    "Position": "models",
    "PositionSide": "models",
    "Quote": "models",
    "Receipt": "receipt",
    "Rule": "validator",
    "Selection": "store",
    "Severity": "protocols",
    "Side": "models",
    "TimeInForce": "models",
    "Trade": "models",
    "ValidationError": "exceptions",
    "ValidationResult": "validator",
    "hookimpl": "hookspecs",
}
"""The module of each public name."""

__all__ = sorted([*_HOMES, "open"])  # noqa: PLE0605 - the names are listed once, above


def __getattr__(name: str) -> Any:
    if name == "open":
        value = importlib.import_module(f"{__name__}.layer").open_layer
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

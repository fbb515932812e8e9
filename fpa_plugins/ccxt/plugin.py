"""Registers the source ``ccxt``; the package ccxt is imported when the source is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.hookspecs import Register, hookimpl
from fpa_core.packages import needs
from fpa_core.protocols import Source
from fpa_plugins.ccxt.options import CcxtOptions

if TYPE_CHECKING:
    from fpa_plugins.ccxt.source import CcxtSource

__all__ = ["CcxtOptions", "create"]


def create(options: CcxtOptions) -> CcxtSource:
    """Create the source; no connection is made yet.

    :raises MissingDependencyError: if ccxt is not installed.
    :raises ConfigError: if ccxt has no such exchange.
    """
    with needs("ccxt", "the source 'ccxt'", extra="ccxt", plugin="ccxt"):
        from fpa_plugins.ccxt.source import CcxtSource
    return CcxtSource(options)


@hookimpl
def fpa_register_sources(register: Register[Source]) -> None:
    """Register the source."""
    register("ccxt", create, CcxtOptions)

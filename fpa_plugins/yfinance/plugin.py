"""Registers the source ``yfinance``; the package yfinance is imported when the source is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.hookspecs import Register, hookimpl
from fpa_core.packages import needs
from fpa_core.protocols import Source
from fpa_plugins.yfinance.options import YfinanceOptions

if TYPE_CHECKING:
    from fpa_plugins.yfinance.source import YfinanceSource

__all__ = ["YfinanceOptions", "create"]


def create(options: YfinanceOptions) -> YfinanceSource:
    """Create the source; no connection is made yet.

    :raises MissingDependencyError: if yfinance is not installed.
    """
    modules = {"yfinance", "curl_cffi"}
    with needs("yfinance", "the source 'yfinance'", extra="yfinance", modules=modules, plugin="yfinance"):
        from fpa_plugins.yfinance.source import YfinanceSource
    return YfinanceSource(options)


@hookimpl
def fpa_register_sources(register: Register[Source]) -> None:
    """Register the source."""
    register("yfinance", create, YfinanceOptions)

"""Registers the source ``alpaca``; alpaca-py is imported when the source is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fpa_core.hookspecs import Register, hookimpl
from fpa_core.packages import needs
from fpa_core.protocols import Source
from fpa_plugins.alpaca.options import AlpacaOptions

if TYPE_CHECKING:
    from fpa_plugins.alpaca.source import AlpacaSource

__all__ = ["AlpacaOptions", "create"]


def create(options: AlpacaOptions) -> AlpacaSource:
    """Create the source; no connection is made yet.

    :raises MissingDependencyError: if alpaca-py is not installed.
    :raises ConfigError: if there are no keys.
    """
    modules = {"alpaca", "msgpack", "requests", "websockets"}
    with needs("alpaca-py", "the source 'alpaca'", extra="alpaca", modules=modules, plugin="alpaca"):
        from fpa_plugins.alpaca.source import AlpacaSource
    return AlpacaSource(options)


@hookimpl
def fpa_register_sources(register: Register[Source]) -> None:
    """Register the source."""
    register("alpaca", create, AlpacaOptions)

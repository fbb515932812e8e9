"""Registers the source ``files``. Arrow is imported only when the source is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from fpa_core.hookspecs import Register, RegisterFormat, hookimpl
from fpa_core.protocols import Source

if TYPE_CHECKING:
    from fpa_plugins.files.source import FilesSource

__all__ = ["FilesOptions", "create"]


@frozen
class FilesOptions:
    """The options of the source: none, because options are given with each request."""


def create(options: FilesOptions) -> FilesSource:  # noqa: ARG001 - every factory takes its options
    """Create the source."""
    from fpa_plugins.files.source import FilesSource

    return FilesSource()


@hookimpl
def fpa_register_formats(register: RegisterFormat) -> None:
    """Register the built-in formats."""
    from fpa_plugins.files.vendors import BUILT_IN

    for offer in BUILT_IN:
        register(offer.name, offer.format, offer.description, offer.prepare)


@hookimpl
def fpa_register_sources(register: Register[Source]) -> None:
    """Register the source."""
    register("files", create, FilesOptions)

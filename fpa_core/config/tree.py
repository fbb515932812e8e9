"""The merged values of the configuration, not typed yet, and where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from fpa_core.config.problems import DEFAULT, KeyPath, Origin, Problem
from fpa_core.config.sections import LoggingSection, PluginsSection

__all__ = ["Tree"]


@frozen
class Tree:
    """The merged values and where each came from.

    :ivar folder: what relative paths are relative to: the folder of the file, or the current one.
    :ivar environments: the overlays that the file has.
    :ivar problems: what was found so far; :func:`~fpa_core.config.structure` reports them together with what it finds.
    :ivar plugins: the ``[plugins]`` section, needed before anything else; defaults where it has problems.
    :ivar logging: the ``[logging]`` section, likewise.
    """

    path: Path | None
    folder: Path
    env: str | None
    environments: tuple[str, ...]
    values: Mapping[str, Any] = field(repr=False)
    origins: Mapping[KeyPath, Origin] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    plugins: PluginsSection = field(factory=PluginsSection)
    logging: LoggingSection = field(factory=LoggingSection)

    def origin(self, path: KeyPath) -> tuple[Origin, KeyPath]:
        """Return the origin of the value at *path*, or of the nearest table around it, and what of the path lies below."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]], path[length:]
        return DEFAULT, path

"""The merged, untyped values of the configuration and their origins."""

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
    """The merged values and their origins.

    :ivar folder: the base of relative paths: the folder of the file, or the current one.
    :ivar environments: the overlays in the file.
    :ivar problems: the problems so far; :func:`~fpa_core.config.structure` reports them together with its own.
    :ivar unset: the paths of values that need an environment variable which is not set; they cannot be checked.
    :ivar plugins: the ``[plugins]`` section, needed before anything else; the defaults if it has problems.
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
    unset: frozenset[KeyPath] = frozenset()
    plugins: PluginsSection = field(factory=PluginsSection)
    logging: LoggingSection = field(factory=LoggingSection)

    def origin(self, path: KeyPath) -> tuple[Origin, KeyPath]:
        """Return the origin of the value at *path* or of the nearest table around it, and the rest of the path."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]], path[length:]
        return DEFAULT, path

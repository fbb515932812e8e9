"""Merge layers of values: the base of the file, an overlay, environment variables; and insert secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from fpa_core.config.problems import KeyPath, Origin, Problem, did_you_mean, display, key_text
from fpa_core.config.secrets import EnvString, Secret
from fpa_core.config.sections import CacheSection, Section, ValidatorSection

__all__ = ["CORE_KEYS", "SECTIONS", "Merger", "merge", "paths"]

SECTIONS = (
    "store",
    "cache",
    "validator",
    "plugins",
    "logging",
    "backup",
    "audit",
    "retention",
    "sources",
    "formats",
    "lakes",
)

CORE_KEYS: dict[str, tuple[str, ...]] = {
    "store": ("backend",),
    "cache": (
        "backend",
        "ttl",
        "namespace",
        "negative_ttl",
        "jitter",
        "stale_while_revalidate",
        "stale_if_error",
        "sweep_every",
    ),
    "validator": ("backend", "level", "rules", "levels", "classes"),
    "sources": ("backend",),
    "lakes": ("backend",),
}
"""The core keys of each section; all others are options of its backend."""

_DEFAULT_BACKENDS: dict[str, Any] = {
    "store": Section().backend,
    "cache": CacheSection().backend,
    "validator": ValidatorSection().backend,
}
_SINGLE_TTL = ("cache", "ttl", "default")
"""The path at which a single lifetime is stored; in the file it is ``cache.ttl``."""
_PREFIX = "FPA_"
_MOST_PARTS = 16
_REFERENCE = re.compile(r"\$(\$?)\{([^{}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)
"""A variable, and after ``:-`` the text to use if it is not set or empty, as in shells."""


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* updated with *overlay*: tables are merged, other values are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = merge(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return merged


def paths(table: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the path and value of each key in *table* and in nested tables."""
    for key, value in table.items():
        yield (*above, key), value
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def _at(table: Any, path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


class Merger:
    """Merges layers of values and keeps the origin of each value."""

    def __init__(self, file: Path | None, lines: Mapping[KeyPath, int]) -> None:
        self._file = file
        self._lines = lines
        self._variables: dict[KeyPath, str] = {}
        self.values: dict[str, Any] = {}
        self.origins: dict[KeyPath, Origin] = {}
        self.secrets: set[str] = set()
        self.problems: list[Problem] = []
        self.unset: set[KeyPath] = set()
        self._referenced: set[str] = set()

    def apply(self, layer: dict[str, Any], origin: Origin) -> None:
        """Merge *layer* onto the values; *origin* is completed for each of its keys."""
        layer = self._known(layer, origin)
        ttl = layer["cache"].get("ttl") if isinstance(layer.get("cache"), dict) else None
        single = ttl is not None and not isinstance(ttl, dict)
        if single:
            # A single lifetime is the default of all kinds; as a table it merges with the kinds of other layers.
            layer = layer | {"cache": layer["cache"] | {"ttl": {"default": ttl}}}
        for section in ("store", "cache", "validator"):
            self._drop_options((section,), layer, _DEFAULT_BACKENDS[section])
        for section in ("sources", "lakes"):
            for name in layer.get(section, {}):
                self._drop_options((section, name), layer, name)
        self.values = merge(self.values, layer)
        for path, value in paths(layer):
            # A table in which a variable sets a key still has its origin in the file.
            if origin.kind != "environment" or not isinstance(value, dict):
                written = path[:2] if single and path == _SINGLE_TTL else path
                self.origins[path] = self._origin(written, origin)

    def _drop_options(self, path: tuple[str, ...], layer: dict[str, Any], default: object) -> None:
        """Drop the options at *path* if *layer* chooses another backend: equal names may have other meanings there."""
        below, above = _at(self.values, path), _at(layer, path)
        if "backend" not in above or above["backend"] == below.get("backend", default):
            return
        for key in below.keys() - {*CORE_KEYS[path[0]]}:
            del below[key]
            gone = (*path, key)
            self.origins = {where: origin for where, origin in self.origins.items() if where[: len(gone)] != gone}

    def variables(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of ``FPA_SECTION__KEY`` variables as a layer; names without a double underscore are ignored."""
        layer: dict[str, Any] = {}
        for variable in sorted(environ):
            if not variable.startswith(_PREFIX) or "__" not in variable:
                continue
            parts = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
            if not all(parts) or len(parts) > _MOST_PARTS:
                self._reject(variable, "expected a name such as FPA_STORE__PATH")
                continue
            if parts[0] not in SECTIONS:
                expected = f"unknown section; expected one of: {', '.join(SECTIONS)}"
                self._reject(variable, expected, did_you_mean(parts[0], SECTIONS))
                continue
            node = layer
            for part in parts[:-1]:
                node = node.setdefault(part, {}) if isinstance(node, dict) else node
            if not isinstance(node, dict) or parts[-1] in node:
                self._reject(
                    variable, "conflicts with another variable, which sets this key, a key above it or a key below it"
                )
                continue
            node[parts[-1]] = EnvString(environ[variable])
            self._variables[parts] = variable
        return layer

    def expand(self, environ: Mapping[str, str], *, demand: bool = True) -> None:
        """Replace each ``${NAME}`` or ``${NAME:-default}`` in the texts of the file by the environment variable, as a secret.

        :param demand: whether a variable that is not set is a problem.
        """
        self.values = {key: self._expand(value, (key,), environ, demand) for key, value in self.values.items()}

    def check_names(self, environ: Mapping[str, str]) -> None:
        """Report variables such as ``FPA_STORE_PATH`` that would be ignored for want of a second underscore."""
        for variable in sorted(environ.keys() - self._referenced):
            section, _, key = variable.removeprefix(_PREFIX).lower().partition("_")
            if variable.startswith(_PREFIX) and section in SECTIONS and key and not key.startswith("_"):
                meant = f"{_PREFIX}{section}__{key}".upper()
                self._reject(variable, "not used: two underscores separate section and key", f"did you mean {meant}?")

    def _expand(self, value: Any, path: KeyPath, environ: Mapping[str, str], demand: bool) -> Any:
        if isinstance(value, dict):
            return {key: self._expand(item, (*path, key), environ, demand) for key, item in value.items()}
        if isinstance(value, list):
            return [self._expand(item, path, environ, demand) for item in value]
        if not isinstance(value, str) or isinstance(value, EnvString) or "${" not in value:
            return value
        references = {inside for escaped, inside in _REFERENCE.findall(value) if not escaped}
        given: dict[str, str] = {}
        for inside in sorted(references):
            if (match := _NAME.fullmatch(inside)) is None:
                self._lacking(path, f"${{{inside}}}", "expected the name of an environment variable between ${ and }")
                continue
            name, default = match.groups()
            self._referenced.add(name)
            if default is not None:
                given[inside] = environ.get(name) or default
            elif name in environ:
                given[inside] = environ[name]
            else:
                self.unset.add(path)
                if demand:
                    why = f"the environment variable {name} is not set"
                    self._lacking(path, f"${{{inside}}}", why, f"write ${{{name}:-default}} to do without it")
        text = _REFERENCE.sub(lambda match: f"${{{match[2]}}}" if match[1] else given.get(match[2], ""), value)
        if not references:
            return text
        self.secrets |= {text, *given.values()} - {""}
        path = self._nearest(path)
        self.origins[path] = evolve(self.origins[path], secret=True)
        return Secret(text)

    def _known(self, layer: dict[str, Any], origin: Origin) -> dict[str, Any]:
        """Return the known sections of *layer*, and report the others."""
        known: dict[str, Any] = {}
        for name, value in layer.items():
            where = self._origin((name,), origin)
            if name not in SECTIONS:
                expected = f"unknown section; expected one of: {', '.join((*SECTIONS, 'env'))}"
                self.problems.append(
                    Problem(where.file, where.line, where.key, None, expected, did_you_mean(name, SECTIONS))
                )
            elif not isinstance(value, dict):
                self.problems.append(Problem(where.file, where.line, where.key, display(value), "expected a table"))
            else:
                known[name] = value
        return known

    def _origin(self, path: KeyPath, layer: Origin) -> Origin:
        if layer.kind == "environment":
            variables = (name for parts, name in self._variables.items() if path[: len(parts)] == parts)
            variable = next(variables, None)  # None for the tables around the value
            return evolve(layer, key=f"environment variable {variable}", variable=variable)
        written = ("env", layer.env, *path) if layer.env is not None else path
        line = next((self._lines[written[:n]] for n in range(len(written), 0, -1) if written[:n] in self._lines), None)
        return evolve(layer, key=key_text(written), line=line)

    def _nearest(self, path: KeyPath) -> KeyPath:
        """Return the nearest path that has an origin: tables within a list have that of the list."""
        return next(path[:n] for n in range(len(path), 0, -1) if path[:n] in self.origins)

    def _reject(self, variable: str, expected: str, hint: str | None = None) -> None:
        self.problems.append(Problem(None, None, f"environment variable {variable}", None, expected, hint))

    def _lacking(self, path: KeyPath, reference: str, why: str, hint: str | None = None) -> None:
        origin = self.origins[self._nearest(path)]
        self.problems.append(Problem(origin.file, origin.line, origin.key, f'"{reference}"', why, hint))

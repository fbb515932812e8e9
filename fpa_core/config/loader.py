"""The first of two steps: merge file, overlay and environment variables into one tree of values.

There are two steps, because plugins define the classes of the options, and the configuration names the plugins to load.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from fpa_core.config.build import early_sections
from fpa_core.config.finder import find, key_lines
from fpa_core.config.merger import Merger
from fpa_core.config.problems import KeyPath, Origin, Problem, did_you_mean, display, fail
from fpa_core.config.tree import Tree
from fpa_core.exceptions import ConfigError
from fpa_core.outputs import why_distrusted

__all__ = ["load"]

_DEEPEST = 32
_MOST_BYTES = 16 * 2**20


def load(
    path: str | Path | None = None,
    env: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    tables: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    demand_variables: bool = True,
) -> Tree:
    """Read and merge the configuration.

    :param path: the file; None looks for ``fpa.toml`` in the current folder and above, and uses defaults if there is none.
    :param env: the overlay to apply; None uses ``FPA_ENV``.
    :param environ: the environment variables; None for those of the process.
    :param tables: the content of a file, used instead of one; None to read a file.
    :param overrides: tables that override all else, environment variables included.
    :param demand_variables: whether a ``${NAME}`` that is not set is a problem; if not, the values with it are not checked.
    :raises ConfigError: if the file cannot be read, is not valid TOML, or has no such overlay. Other problems are kept in the tree.
    """
    environ = os.environ if environ is None else environ
    try:
        folder = Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the current folder cannot be used: {error.strerror}", hint="change to one that exists"
        ) from None
    file = None if tables is not None else _found() if path is None else Path(path).expanduser().absolute()
    document, lines = (dict(tables or {}), {}) if file is None else _parse(file)
    overlays = document.pop("env", {})
    merger = Merger(file, lines)
    if not isinstance(overlays, dict):
        fail([Problem(file, lines.get(("env",)), "env", display(overlays), "expected tables such as [env.prod.store]")])
    env = env or environ.get("FPA_ENV") or None
    merger.apply(document, Origin("file", file=file))
    if env is not None:
        merger.apply(_overlay(overlays, env, file, lines), Origin("overlay", file=file, env=env))
    merger.apply(merger.variables(environ), Origin("environment"))
    merger.apply(dict(overrides or {}), Origin("argument"))
    merger.expand(environ, demand=demand_variables)
    merger.check_names(environ)
    return early_sections(
        Tree(
            path=file,
            folder=folder if file is None else file.parent,
            env=env,
            environments=tuple(overlays),
            values=merger.values,
            origins=merger.origins,
            secrets=frozenset(merger.secrets),
            problems=tuple(merger.problems),
            unset=frozenset(merger.unset),
        )
    )


def _found() -> Path | None:
    """Return the file of the current folder or of one above it.

    :raises ConfigError: if others could have written it: it decides where data go, and nobody has named it.
    """
    file = find()
    if file is not None and (reason := why_distrusted(file)):
        raise ConfigError(
            f"{file} is not used: {reason}",
            hint=f"if you trust it, name it: --config {file}, or the variable FPA_CONFIG",
        )
    return file


def _parse(file: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for, and a device may have no end
            raise ConfigError(f"{file}: the configuration cannot be read: it is not a regular file")
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigError(f"{file}: the configuration cannot be read: it has more than {_MOST_BYTES:,} bytes")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{file}: the configuration cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        _unreadable(file, None, f"is not UTF-8 text (byte {error.start})")
    except RecursionError:
        _unreadable(file, None, f"nests deeper than {_DEEPEST} levels")
    except ValueError as error:
        line = re.search(r"at line (\d+)", str(error))
        _unreadable(file, int(line[1]) if line else None, f"is not valid TOML: {error}")
    level: list[Any] = [document]
    for _ in range(_DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
    if level:
        _unreadable(file, None, f"nests deeper than {_DEEPEST} levels")
    return document, key_lines(text)


def _unreadable(file: Path, line: int | None, why: str) -> NoReturn:
    fail([Problem(file, line, "", None, f"the configuration {why}")])


def _overlay(overlays: dict[str, Any], env: str, file: Path | None, lines: Mapping[KeyPath, int]) -> dict[str, Any]:
    if env not in overlays:
        known = f"known: {', '.join(overlays)}" if overlays else "the configuration has no environments"
        fail([Problem(file, None, "env", display(env), f"unknown environment; {known}", did_you_mean(env, overlays))])
    overlay = overlays[env]
    if not isinstance(overlay, dict):
        fail([Problem(file, lines.get(("env", env)), f"env.{env}", display(overlay), "expected a table")])
    return overlay

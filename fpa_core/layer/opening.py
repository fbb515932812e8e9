"""Open a data layer: from a configuration file, a database file, or values."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa_core import config as configuration
from fpa_core.config import FILE_NAME, Section
from fpa_core.exceptions import ConfigError
from fpa_core.layer.components import structured
from fpa_core.layer.datalayer import DataLayer

if TYPE_CHECKING:
    from fpa_core.config import Tree
    from fpa_core.plugins import PluginManager

__all__ = ["open_layer", "open_tree"]

IN_MEMORY = ":memory:"
"""What to open for a layer that keeps nothing."""

DATABASE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})


def open_layer(
    path: str | os.PathLike[str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    env: str | None = None,
    environ: Mapping[str, str] | None = None,
    plugins: PluginManager | None = None,
    clock: Callable[[], int] = time.time_ns,
    lazy: bool = False,
    read_only: bool = False,
    **settings: Any,
) -> DataLayer:
    """Open a data layer; this is ``fpa_core.open``.

    :param path: the configuration, a ``.toml`` file or a folder with a ``fpa.toml``; None looks for one in the current folder and above, and
        uses defaults if there is none. A ``.db``, ``.sqlite`` or ``.sqlite3`` file is a database, opened with the defaults for all else. ``":memory:"``
        is an empty store in memory, with the defaults for all else, whatever the environment variables of the process.
    :param config: the configuration as nested mappings, instead of a file.
    :param env: the overlay ``[env.NAME]`` to apply; None uses the environment variable ``FPA_ENV``.
    :param environ: environment variables in addition to those of the process, for overrides and secrets.
    :param plugins: a plugin manager that has loaded its plugins; None loads the installed ones.
    :param clock: the present time in nanoseconds since 1970.
    :param lazy: whether to open store, cache and validator only when they are used.
    :param read_only: change nothing in the store and make no file, as ``read_only = true`` in ``[store]``; answers are cached in memory only.
    :param settings: further values, with ``__`` between the keys: ``store__path="other.db"`` is ``path`` in ``[store]``. They override all others.
    :raises ConfigError: with every problem of the configuration.
    :raises PluginError: if a plugin that is needed does not load.
    :raises DatabaseError: if the database cannot be opened.
    """
    overrides = _nested(settings)
    if read_only:
        overrides.setdefault("store", {})["read_only"] = True
    in_memory = path is not None and os.fspath(path) == IN_MEMORY
    if path is not None and config is not None:
        raise ConfigError("path and config: only one of them can be given")
    if in_memory:
        overrides.setdefault("store", {}).setdefault("backend", "memory")
        config, path = {}, None
    elif path is not None and Path(path).suffix.lower() in DATABASE_SUFFIXES:
        overrides.setdefault("store", {}).setdefault("backend", Section().backend)
        overrides["store"]["path"] = os.fspath(path)
        config, path = {}, None
    elif path is not None and Path(path).is_dir():
        path = Path(path) / FILE_NAME
    tree = configuration.load(
        None if path is None else Path(path),
        env,
        {**({} if in_memory else os.environ), **(environ or {})},
        tables=config,
        overrides=overrides,
    )
    return open_tree(tree, plugins=plugins, clock=clock, lazy=lazy)


def open_tree(
    tree: Tree,
    *,
    plugins: PluginManager | None = None,
    clock: Callable[[], int] = time.time_ns,
    lazy: bool = False,
) -> DataLayer:
    """Open the data layer of a configuration that is loaded; the parameters are those of :func:`open_layer`."""
    from fpa_core.plugins import PluginManager

    manager = plugins or PluginManager(
        block=tree.plugins.block, required=tree.plugins.required, strict=tree.plugins.strict
    )
    layer = DataLayer(structured(tree, manager), manager, clock=clock)
    with contextlib.ExitStack() as stack:
        stack.callback(layer.close)  # unless everything opens
        if not lazy:
            layer.open()
        stack.pop_all()
    return layer


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"store": {"path": ...}}`` for ``store__path=...``.

    :raises TypeError: for a name without ``__``, which is a misspelt parameter.
    :raises ConfigError: for a value where another setting has a table.
    """
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        *tables, key = name.split("__")
        if not tables or not all((*tables, key)):
            raise TypeError(f"open() got an unexpected keyword argument {name!r}")
        table = nested
        for each in tables:
            table = table.setdefault(each, {}) if isinstance(table, dict) else table
        if not isinstance(table, dict) or key in table:
            raise ConfigError(f"{name}: conflicts with another setting, which sets a key above it or below it")
        table[key] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return nested

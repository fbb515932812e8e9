"""What commands work with: the values of the global options, and what exit codes mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fpa_core import exceptions
from fpa_core.cli.output import (
    OutputError,
    conceal,
    masked,
    reserved_output,
)
from fpa_core.display import displayed
from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer

__all__ = ["EXIT_CODES", "NOTHING_STORED", "App", "UsageError", "error_values", "exit_code"]


class UsageError(FpaError):
    """Raised for a wrong command line."""


EXIT_CODES: dict[type[FpaError], int] = {
    UsageError: 2,
    exceptions.ConfigError: 3,
    exceptions.PluginError: 4,
    exceptions.DatabaseError: 5,
    exceptions.CacheError: 6,
    exceptions.DataError: 7,
    OutputError: 8,
    exceptions.SourceError: 10,
}
"""Exit codes by error. Others: 0 success, 1 findings of severity error (``fpa validate``, ``fpa store check``), 2 wrong usage, 9 every row rejected, 130 interrupted."""

NOTHING_STORED = 9
"""The exit code of an ingest that rejected every row."""

INTERRUPTED = 130
"""The exit code after an interrupt, as in shells: 128 plus the signal number."""


class App:
    """The values of the global options; commands receive it with ``@click.pass_obj``."""

    def __init__(
        self,
        config: str | None,
        env: str | None,
        log_level: str | None,
        *,
        read_only: bool = False,
        reserves_output: bool = False,
    ) -> None:
        self.config = config
        self.env = env
        self.log_level = log_level
        self.read_only = read_only
        self._reserves_output = reserves_output

    def of(self, env: str) -> App:
        """Return the application with another overlay, which is opened for writing."""
        return App(self.config, env, self.log_level, reserves_output=self._reserves_output)

    def reserve_output(self) -> None:
        """Keep standard output for the results of this command until it ends; called before plugins are loaded."""
        if self._reserves_output:
            click.get_current_context().find_root().with_resource(reserved_output())

    def open(self, *, lazy: bool = True, existing: bool = False) -> DataLayer:
        """Open the data layer. Its parts open on first use unless *lazy* is false.

        :param existing: whether the database must exist, as for commands that only read: they do not create one in the wrong folder.
        """
        from fpa_core import config, log
        from fpa_core.layer import open_tree

        self.reserve_output()
        # Configure logging before the layer, because loading plugins logs.
        overrides = {"store": {"read_only": True}} if self.read_only else None
        tree = config.load(self.config, env=self.env, overrides=overrides)
        log.configure(tree.logging, self.log_level, secrets=tree.secrets)
        conceal(tree.secrets)
        layer = open_tree(tree, lazy=lazy)
        if existing:
            layer.require_database()
        return layer


def error_values(error: FpaError) -> dict[str, Any]:
    """Return an error for machines."""
    return {
        "type": type(error).__name__,
        "message": displayed(masked(error.message), keep="\n"),
        "hint": None if error.hint is None else masked(error.hint),
        "problems": [masked(str(problem)) for problem in getattr(error, "problems", ())],
        "exit_code": exit_code(error),
    }


def exit_code(error: FpaError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)

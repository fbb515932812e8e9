"""The group ``fpa``: its global options, its commands by name, and what its exit codes mean.

Commands are imported when they are called, so that ``fpa --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from fpa_core import exceptions
from fpa_core.cli.output import OutputError, note, open_standard_streams, show_error, writing
from fpa_core.display import displayed
from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer

__all__ = ["EXIT_CODES", "NOTHING_STORED", "App", "cli", "main"]

EXIT_CODES: dict[type[FpaError], int] = {
    exceptions.ConfigError: 3,
    exceptions.PluginError: 4,
    exceptions.DatabaseError: 5,
    exceptions.CacheError: 6,
    exceptions.DataError: 7,
    OutputError: 8,
}
"""Exit codes by error. Besides: 0 done, 1 findings of severity error (``fpa validate``), 2 wrong usage, 9 every row rejected, 130 interrupted."""

NOTHING_STORED = 9
"""The exit code of an ingest that rejected every row."""

INTERRUPTED = 130
"""The exit code after an interrupt, as shells have it: 128 and the number of the signal."""

DISTRIBUTION = "financial-portfolio-automation"

_COMMANDS = {
    "init": ("fpa_core.cli.setup", "Write a commented fpa.toml."),
    "demo": ("fpa_core.cli.setup", "Make a realistic day of data and show what the layer does with it."),
    "ingest": ("fpa_core.cli.data", "Validate files and store them."),
    "sniff": ("fpa_core.cli.files", "Show how files would be read, before anything is stored."),
    "formats": ("fpa_core.cli.files", "List the formats of files that are known."),
    "validate": ("fpa_core.cli.validate", "Judge files without storing them, and report on them."),
    "query": ("fpa_core.cli.data", "Read stored records."),
    "latest": ("fpa_core.cli.data", "Show the last quote, trade and bars of a symbol."),
    "inventory": ("fpa_core.cli.data", "Tell what is stored: rows, first and last time."),
    "batches": ("fpa_core.cli.admin", "List what was ingested, latest first."),
    "undo": ("fpa_core.cli.admin", "Take a batch back."),
    "quarantine": ("fpa_core.cli.quarantine", "Look at records that were refused, and decide about them."),
    "plugins": ("fpa_core.cli.admin", "List plugins, also those that failed to load."),
    "rules": ("fpa_core.cli.rules", "List the validation rules in force."),
    "config": ("fpa_core.cli.admin", "Show or check the configuration."),
    "store": ("fpa_core.cli.storage", "Look at the database, or seal its rows."),
    "cache": ("fpa_core.cli.cache", "Look at the cache, fill it, or take things out."),
    "completion": ("fpa_core.cli.setup", "Print a completion script for a shell."),
}


class App:
    """What the global options say; commands get it with ``@click.pass_obj``."""

    def __init__(self, config: str | None, env: str | None, log_level: str | None) -> None:
        self.config = config
        self.env = env
        self.log_level = log_level

    def open(self, *, lazy: bool = True) -> DataLayer:
        """Open the data layer; its parts open when they are used, unless *lazy* is false."""
        from fpa_core import config, log
        from fpa_core.layer import open_layer

        # Before the layer, for what is logged while plugins are loaded.
        tree = config.load(self.config, env=self.env)
        log.configure(tree.logging, self.log_level, secrets=tree.secrets)
        return open_layer(self.config, env=self.env, lazy=lazy)


class _Group(click.Group):
    """Built-in commands by name; those of plugins are looked for when a name is not built in, or all are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(set(super().list_commands(ctx)) - set(_COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _ = _COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), cmd_name)
            return command
        if cmd_name not in self.commands:
            _add_plugin_commands(self, ctx)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            note("interrupted")
            ctx.exit(INTERRUPTED)
        except click.ClickException as error:
            # What is wrong with an argument is shown beside it, and arguments may be the names of files.
            error.message = displayed(error.message, keep="\n\t")  # type: ignore[misc]  # there is no other way in
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _add_plugin_commands(self, ctx)
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        rows += [
            (name, self.commands[name].get_short_help_str()) for name in sorted(set(self.commands) - set(_COMMANDS))
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _add_plugin_commands(group: _Group, ctx: click.Context) -> None:
    """Let plugins add their commands; where only the built-in ones are installed, which add none, nothing is loaded."""
    from importlib.metadata import entry_points

    installed = entry_points(group="fpa")
    if all(point.dist is not None and point.dist.name == DISTRIBUTION for point in installed):
        return
    from fpa_core import config
    from fpa_core.plugins import PluginManager

    # The help must come even where the configuration is wrong; the command itself will say so.
    with contextlib.suppress(FpaError):
        section = config.load(ctx.params.get("config"), env=ctx.params.get("env")).plugins
        PluginManager(block=section.block).register_commands(group)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 errors found by validate; 2 wrong usage; 3 configuration; 4 plugin; 5 database; "
    "6 cache; 7 data that cannot be read; 8 output that cannot be written; 9 every row was rejected; 130 interrupted.",
)
@click.option(
    "--config", metavar="FILE", envvar="FPA_CONFIG", help="The configuration; else fpa.toml in this folder or above."
)
@click.option("--env", metavar="NAME", help="The overlay [env.NAME] to use; else FPA_ENV says.")
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="Log more, or less, than [logging] says.",
)
@click.version_option(package_name=DISTRIBUTION, prog_name="fpa")
@click.pass_context
def cli(ctx: click.Context, config: str | None, env: str | None, log_level: str | None) -> None:
    """Market data and portfolio records: kept exactly, checked, cached, and answered fast."""
    ctx.obj = App(config, env, log_level)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; errors of ours become a message and an exit code."""
    open_standard_streams()
    try:
        return _run(arguments)
    except FpaError as error:
        show_error(error)
        sys.exit(exit_code(error))


def _run(arguments: list[str] | None) -> Any:
    try:
        return cli.main(args=arguments, prog_name="fpa")
    except OSError as error:
        # Click prints helps and versions itself, and commands of plugins print with it.
        if any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            with writing():
                raise
        raise


def exit_code(error: FpaError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)

"""The group ``fpa``: its global options, and its commands by name.

Commands are imported when they are called, so that ``fpa --help`` is fast.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import re
import sys
import traceback
from typing import Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import INTERRUPTED, App, UsageError, error_values, exit_code
from fpa_core.cli.output import (
    OutputError,
    note,
    open_standard_streams,
    print_results,
    reserved_output,
    show_error,
    writing,
)
from fpa_core.display import displayed
from fpa_core.exceptions import FpaError
from fpa_core.packages import DISTRIBUTION

__all__ = ["cli", "main"]

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}
"""Errors of a disk, which do not say which file they are about."""

_UNKNOWN = re.compile("No such command '([^']*)'$")

_COMMANDS = {
    "init": ("fpa_core.cli.setup", "Write a commented fpa.toml."),
    "demo": ("fpa_core.cli.setup", "Generate a day of sample data and show how the layer handles it."),
    "ingest": ("fpa_core.cli.data", "Validate files and store them."),
    "sniff": ("fpa_core.cli.files", "Show how files would be read, without storing anything."),
    "formats": ("fpa_core.cli.files", "List the known file formats."),
    "validate": ("fpa_core.cli.validate", "Validate files without storing them, and report the findings."),
    "audit": ("fpa_core.cli.audit", "Validate what is stored."),
    "audit-log": ("fpa_core.cli.audit_log", "Show, verify or export the log of changes: who, what, when."),
    "query": ("fpa_core.cli.data", "Read stored records."),
    "sql": ("fpa_core.cli.sql", "Ask in SQL over all stored records."),
    "latest": ("fpa_core.cli.data", "Show the last quote, trade and bars of a symbol."),
    "portfolio": ("fpa_core.cli.portfolio", "Show what accounts hold, have earned, and are worth."),
    "inventory": ("fpa_core.cli.data", "Show what is stored: rows, first and last time."),
    "history": ("fpa_core.cli.sources", "Fetch the history of symbols from a source."),
    "stream": ("fpa_core.cli.live", "Store what a source delivers live."),
    "sync": ("fpa_core.cli.live", "Store the account of a source."),
    "coverage": ("fpa_core.cli.sources", "Show which ranges of time were fetched."),
    "gaps": ("fpa_core.cli.sources", "Show gaps between stored rows, or what was not fetched yet."),
    "backfill": ("fpa_core.cli.sources", "Plan what is missing, and fetch it."),
    "batches": ("fpa_core.cli.admin", "List the stored batches, latest first."),
    "undo": ("fpa_core.cli.admin", "Undo a batch."),
    "quarantine": ("fpa_core.cli.quarantine", "Review quarantined records, and fix, replay or discard them."),
    "plugins": ("fpa_core.cli.admin", "List plugins, including those that failed to load."),
    "rules": ("fpa_core.cli.rules", "List the enabled validation rules."),
    "config": ("fpa_core.cli.admin", "Show or check the configuration."),
    "store": ("fpa_core.cli.storage", "Check, back up, restore, compact or migrate the database."),
    "publish": ("fpa_core.cli.publish", "Publish what is stored as tables of a lake."),
    "cache": ("fpa_core.cli.cache", "Inspect, warm, invalidate or clear the cache."),
    "completion": ("fpa_core.cli.setup", "Print a completion script for a shell."),
}


class _Group(click.Group):
    """Built-in commands by name. Plugin commands are loaded only for an unknown name or to list all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(set(super().list_commands(ctx)) - set(_COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _ = _COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _add_plugin_commands(self, ctx)
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        rows += [
            (name, self.commands[name].get_short_help_str()) for name in sorted(set(self.commands) - set(_COMMANDS))
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _add_plugin_commands(group: _Group, ctx: click.Context) -> None:
    """Add the commands of plugins. Load nothing if only the built-in plugins are installed, as these add none."""
    from importlib.metadata import entry_points

    installed = entry_points(group="fpa")
    if all(point.dist is not None and point.dist.name == DISTRIBUTION for point in installed):
        return
    from fpa_core import config
    from fpa_core.plugins import PluginManager

    # Show the help even if the configuration is invalid; the command itself reports the error.
    with contextlib.suppress(FpaError), reserved_output():
        section = config.load(ctx.params.get("config"), env=ctx.params.get("env")).plugins
        PluginManager(block=section.block).register_commands(group)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 success; 1 validate, audit, audit-log or store check found errors, store diff differences; 2 wrong usage; 3 configuration; 4 plugin; 5 database; "
    "6 cache; 7 unreadable data; 8 output cannot be written; 9 every row was rejected; 10 source; 130 interrupted.",
)
@click.option(
    "--config",
    metavar="FILE",
    envvar="FPA_CONFIG",
    help="The configuration file. Default: fpa.toml in this folder or a parent.",
)
@click.option(
    "--env",
    metavar="NAME",
    shell_complete=completing.environments,
    help="The overlay [env.NAME] to use. Default: the variable FPA_ENV.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="The log level; overrides [logging].",
)
@click.option("--read-only", is_flag=True, help="Change nothing in the database, and make no file beside it.")
@click.version_option(package_name=DISTRIBUTION, prog_name="fpa")
@click.pass_context
def cli(ctx: click.Context, config: str | None, env: str | None, log_level: str | None, read_only: bool) -> None:
    """Store, validate, cache and query market data and portfolio records, exactly."""
    own = ctx.invoked_subcommand in _COMMANDS  # a plugin's command prints its results itself
    ctx.obj = App(config, env, log_level, read_only=read_only, reserves_output=own)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit. An error becomes a message, with ``--json`` a JSON object too, and an exit code."""
    open_standard_streams()
    try:
        sys.exit(_run(arguments))
    except (FpaError, click.ClickException) as error:
        known = _usage_error(error) if isinstance(error, click.ClickException) else error
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()  # the help, which says more than any message
        else:
            show_error(known)
        if "--json" in (sys.argv[1:] if arguments is None else arguments) and not isinstance(known, OutputError):
            print_results([], error=error_values(known))
        sys.exit(exit_code(known))
    except click.Abort:
        note("aborted")
        sys.exit(1)


def _run(arguments: list[str] | None) -> Any:
    try:
        return cli.main(args=arguments, prog_name="fpa", standalone_mode=False)
    except OSError as error:
        # Click itself prints help texts and versions, and plugin commands print with it.
        if any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            with writing():
                raise
        if error.filename is None and error.errno not in _DISK:
            raise
        where = f"{displayed(str(error.filename))}: " if error.filename is not None else ""
        raise OutputError(f"{where}{error.strerror}") from error


def _usage_error(error: click.ClickException) -> UsageError:
    """Return an error of click as one of ours: with the closest command for an unknown one, and where help is."""
    from fpa_core.config import did_you_mean

    # The message quotes the argument, which may be a file name with control characters.
    message = displayed(" ".join(error.format_message().rstrip(".").split("\n\t")))
    context = getattr(error, "ctx", None)
    if context is None:
        return UsageError(message)
    hint = f"{context.command_path} --help"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return UsageError("a command is needed", hint=f"{hint} lists them")
    if isinstance(context.command, click.Group) and (unknown := _UNKNOWN.match(message)):
        meant = did_you_mean(unknown[1], context.command.list_commands(context))
        hint = f"{meant} See {hint}" if meant else hint
    return UsageError(message[:1].lower() + message[1:], hint=hint)

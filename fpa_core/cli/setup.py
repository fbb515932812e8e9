"""Commands for the first steps: init, demo, completion."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, print_results, say

__all__ = ["completion", "demo", "init"]


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite an existing fpa.toml.")
def init(folder: Path, force: bool) -> None:
    """Write a commented fpa.toml into DIR."""
    from fpa_core.config import FILE_NAME, template
    from fpa_core.outputs import private_folder, whole_file, writable

    target = folder / FILE_NAME
    if os.path.lexists(target) and not force:
        raise click.UsageError(f"{target} already exists; use --force to overwrite it")
    with writable(folder):
        private_folder(folder)
    with whole_file(target) as stream:
        stream.write(template().encode())
    say(f"{target} written, with a comment on every key. Next: fpa ingest FILE")


@click.command()
@click.argument("folder", default="fpa-demo", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]")
@click.option(
    "--quotes", type=click.IntRange(1_000, 5_000_000), default=100_000, show_default=True, help="The number of quotes."
)
@click.option(
    "--seed", type=int, default=7, show_default=True, help="The random seed; the same seed gives the same day."
)
@click.option("--year", is_flag=True, help="Store a year of two accounts, too: orders, fills, dividends, splits, cash.")
@json_option
@click.pass_obj
def demo(app: App, /, folder: Path, quotes: int, seed: int, year: bool, as_json: bool) -> None:
    """Generate a day of quotes, trades and a small portfolio in DIR, with valid and invalid rows, and show how the layer handles it.

    The database is an ordinary one: continue with `cd DIR` and `fpa inventory`.
    """
    from fpa_core.demo import run

    summary = run(
        folder,
        quotes=quotes,
        seed=seed,
        year=year,
        say=(lambda _: None) if as_json else _say_lines,
        log_level=app.log_level,
    )
    if as_json:
        print_results([summary])


def _say_lines(text: str) -> None:
    say(text, lines=True)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL; load it with: eval "$(fpa completion bash)"."""
    from click.shell_completion import get_completion_class

    from fpa_core.cli.main import cli

    maker = get_completion_class(shell)
    assert maker is not None
    say(maker(cli, {}, "fpa", "_FPA_COMPLETE").source(), lines=True)

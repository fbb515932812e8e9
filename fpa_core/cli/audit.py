"""The command ``fpa audit``: validate what is stored."""

from __future__ import annotations

import sys

import click

from fpa_core.cli.app import App
from fpa_core.cli.files import KINDS
from fpa_core.cli.output import json_option, print_results, progress_bar
from fpa_core.cli.tables import wide_option
from fpa_core.cli.validate import show_result

__all__ = ["audit"]


@click.command()
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option(
    "--since", type=click.IntRange(0), metavar="BATCH", help="Only symbols and accounts that later batches changed."
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@json_option
@wide_option
@click.pass_obj
def audit(app: App, /, kind: str | None, since: int | None, strict: bool, as_json: bool) -> None:
    """Validate the stored records of KIND, or all, with every enabled rule; nothing is changed.

    Rules about series and about records of several kinds are included. The exit code is 1 if a record breaks a rule of severity error.
    """
    from fpa_core import audit as auditing

    with app.open(existing=True) as data:
        latest = max((batch.id for batch in data.store.batches(limit=1)), default=0)
        with progress_bar("audit") as progress:
            result = auditing.audit(data.store, data.validator, kind, since=since, progress=progress)
    broken = not result.is_valid or (strict and bool(result.warnings))
    if as_json:
        print_results([{"kind": kind} | result.as_dict()], valid=not broken, since=since, latest_batch=latest)
    else:
        show_result(kind or "all records", result, stored=True)
    if broken:
        sys.exit(1)

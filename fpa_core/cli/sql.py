"""The command ``fpa sql``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import data_output, json_option, note, objects_of, print_results, standard_output
from fpa_core.cli.tables import table, wide_option

__all__ = ["sql"]

FORMATS = ["table", "csv", "jsonl", "parquet"]


@click.command()
@click.argument("query")
@click.option(
    "--param", "-p", "parameters", multiple=True, metavar="VALUE", help="The value of the next ? in QUERY; repeatable."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="The output format. Default: that of the file of --output, else table.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@json_option
@wide_option
@click.pass_obj
def sql(
    app: App, /, query: str, parameters: tuple[str, ...], form: str | None, output: Path | None, as_json: bool
) -> None:
    """Answer QUERY, one SELECT of DuckDB's SQL; - reads it from standard input.

    The tables are quotes, trades, bars, orders, positions, snapshots and the other kinds; `fpa sql "describe quotes"` shows the columns of one. Times are
    in UTC: timestamp in microseconds, ts_ns in exact nanoseconds. Decimals are exact. Nothing can be written.
    """
    if as_json and (form or output):
        raise click.UsageError("--json prints one list; for a file, use --format jsonl and --output")
    if form == "parquet" and output is None and standard_output().isatty():
        raise click.UsageError("Parquet cannot be written to a terminal; give a file with --output")
    from fpa_core import export

    if query == "-":
        query = sys.stdin.read()
    with app.open(existing=True) as data:
        answer = data.sql(query, list(parameters) or None)
        reader = answer.reader()
        if as_json:
            print_results(objects_of(reader))
        elif output is not None:
            chosen = export.format_of(output) if form is None else form
            rows = export.write_table(reader, output, "csv" if chosen == "table" else chosen)  # type: ignore[arg-type]  # click has checked it
            note(f"{rows:,} rows written to {output}")
        elif form in (None, "table"):
            table(
                "", reader.schema.names, (row for batch in reader for row in export.text_rows(batch)), empty="no rows"
            )
        else:
            with data_output(str(form)) as stream:
                export.write_table(reader, stream, form)  # type: ignore[arg-type]  # click has checked it

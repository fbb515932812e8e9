"""The commands ``fpa sniff`` and ``fpa formats``, and the options of all commands that read files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App, exit_code
from fpa_core.cli.output import json_option, print_results, say, show_error
from fpa_core.cli.tables import table, wide_option
from fpa_core.exceptions import DataError, FpaError

if TYPE_CHECKING:
    from fpa_core.formats import FormatOffer
    from fpa_core.protocols import Sniffed

__all__ = ["KINDS", "file_options", "formats", "reading_options", "said_options", "sniff", "targets_of"]

KINDS = [
    "quotes",
    "trades",
    "bars",
    "orders",
    "positions",
    "snapshots",
    "fills",
    "corporate_actions",
    "cash",
]


_READING_OPTIONS = (
    click.option(
        "--value",
        "values",
        multiple=True,
        metavar="FIELD:WORD=OURS",
        help="The meaning of a word in a field, such as side:Bought=buy; repeatable.",
    ),
    click.option(
        "--null",
        "nulls",
        multiple=True,
        metavar="TEXT",
        help="An additional spelling of a missing value; repeatable.",
    ),
    click.option("--magnitudes", is_flag=True, default=None, help="Accept numbers that end in K, M or B."),
    click.option("--ignore", metavar="NAME,...", help="Columns to ignore."),
    click.option("--footer", type=click.IntRange(0), help="The number of lines to skip at the end."),
    click.option(
        "--skip",
        type=click.IntRange(0),
        help="The number of lines to skip before the header, or before the rows if there is no header.",
    ),
    click.option("--comment", help="The prefix of comment lines."),
    click.option("--names", metavar="NAME,...", help="The column names of a file without a header."),
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="FIELD=NAME",
        help="The column of a field, or two columns joined by +; repeatable.",
    ),
    click.option(
        "--encoding", help="The text encoding, such as latin-1. Default: UTF-8, or as its byte order mark says."
    ),
    click.option("--delimiter", help="The delimiter between cells, such as ';' or tab. Default: detected."),
    click.option("--thousands", help="The thousands separator."),
    click.option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="The decimal mark. Default: detected if unambiguous.",
    ),
    click.option("--scale", metavar="NUMBER", help="The factor that prices are multiplied by, such as 1e-9."),
    click.option(
        "--ambiguous",
        type=click.Choice(["refuse", "earlier", "later"]),
        help="How to read a local time that occurs twice, when clocks are set back.",
    ),
    click.option("--day-first/--month-first", default=None, help="The order of day and month in ambiguous dates."),
    click.option("--time-format", metavar="FORMAT", help="The format of times, such as '%d.%m.%Y %H:%M'."),
    click.option(
        "--time-unit",
        type=click.Choice(["s", "ms", "us", "ns", "excel"]),
        help="The unit of numeric times.",
    ),
    click.option("--tz", metavar="ZONE", help="The time zone of times without one, such as America/New_York."),
    click.option("--as-of", metavar="TIME", help="The time of orders, positions and snapshots without one."),
    click.option("--account", help="The account of a file that does not contain it."),
    click.option("--interval", help="The bar interval of a file that does not contain it, such as 1m or 1d."),
    click.option("--symbol", help="The symbol of a file that does not contain it; {name} stands for the file name."),
    click.option(
        "--kind", type=click.Choice(KINDS), help="The kind of the records. Default: detected from the columns."
    ),
    click.option(
        "--as",
        "format",
        metavar="FORMAT",
        shell_complete=completing.formats,
        help="The file format, one of `fpa formats`. Default: detected.",
    ),
)
"""The options for reading rows, in the order in which decorators are applied: the last one is shown first."""


def file_options(command: Any) -> Any:
    """Add the argument FILES and the options for reading files."""
    return reading_options(click.argument("files", nargs=-1, required=True, metavar="FILES...")(command))


def reading_options(command: Any) -> Any:
    """Add the options for reading rows, and for the values that files do not contain."""
    for option in _READING_OPTIONS:
        command = option(command)
    return command


def said_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as :meth:`fpa_core.DataLayer.ingest` takes them.

    :raises click.BadParameter: if a column is not FIELD=NAME, or a value not FIELD:WORD=OURS.
    """
    said: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or value == ():
            continue
        if name == "columns":
            said[name] = dict(_column(text) for text in value)
        elif name == "values":
            said[name] = _values(value)
        elif name in {"names", "ignore"}:
            said[name] = tuple(part.strip() for part in value.split(","))
        elif name == "delimiter":
            said[name] = {"tab": "\t", "\\t": "\t"}.get(value, value)
        else:
            said[name] = value
    return said


def _values(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        field, colon, rest = text.partition(":")
        word, equals, ours = rest.rpartition("=")
        if not colon or not equals or not field or not word:
            raise click.BadParameter(f"{text!r} is not FIELD:WORD=OURS", param_hint="--value")
        found.setdefault(field.strip(), {})[word] = ours
    return found


def _column(text: str) -> tuple[str, str | tuple[str, ...]]:
    field, equals, name = text.partition("=")
    if not equals or not field or not name:
        raise click.BadParameter(f"{text!r} is not FIELD=NAME", param_hint="--column")
    parts = tuple(name.split("+"))
    return field.strip(), parts if len(parts) > 1 else name


def targets_of(files: Sequence[str]) -> list[str]:
    """Return the files, with folders and globs expanded; ``-`` is standard input."""
    from fpa_core.layer import files_of

    found: list[str] = []
    for each in files:
        found += [each] if each in {"-", "/dev/stdin"} else [str(path) for path in files_of(each)]
    return found


@click.command()
@file_options
@json_option
@click.pass_obj
def sniff(app: App, /, files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Show how FILES would be read: format, kind, the column of each field, the first records, and what is missing.

    Only the beginning of a file is read, and nothing is stored. The options are those of `fpa ingest`, so you can try them here first. The
    exit code is 7 if a file cannot be read.
    """
    options = said_options(options)
    _load_arrow_alone()
    entries: list[dict[str, Any]] = []
    failed: FpaError | None = None
    with app.open() as data:
        for target in targets_of(files):
            try:
                found = data.sniff(target, **options)
            except DataError as error:
                failed = error
                entries.append({"name": target, "problem": error.message, "hint": error.hint})
                if not as_json:
                    show_error(error)
                continue
            for each in found:
                entries.append(each.as_dict())
                if each.problem:
                    failed = DataError(each.problem, hint=each.hint)
                if not as_json:
                    _show(each)
    if as_json:
        print_results(entries)
    if failed is not None:
        sys.exit(exit_code(failed))


class _WithoutPandas:
    """A finder of modules that hides pandas."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _load_arrow_alone() -> None:
    """Import Arrow and have it look for pandas in vain: it would import it at its first value, which takes as long as all else that sniffing does.

    Where a frame is asked for, Arrow looks again.
    """
    if "pyarrow" in sys.modules:
        return
    finder: Any = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)


def _show(found: Sniffed) -> None:
    say(f"{found.name}: {', '.join(_parts(found))}")
    for line in found.preamble:
        say(f"  above the table: {line[:100]}")
    if found.kind:
        say(f"  kind: {found.kind} ({'detected by' if not found.format else 'as'} {found.why})")
    _show_fields(found)
    if found.ignored:
        say(f"  ignored columns: {', '.join(found.ignored)}")
    for record in found.records:
        say("  " + ", ".join(f"{name} {value}" for name, value in record.items()))
    for row, problem in found.rejects:
        say(f"  row {row} would be rejected: {problem}")
    if found.last_line is not None:
        say(f"  the last line is not a row: {found.last_line[:100]}")
    if found.problem:
        say(f"  cannot be read: {found.problem.removeprefix(found.name + ': ')}")
        if found.hint:
            say(f"  hint: {found.hint}")
    if found.toml:
        say(f"\n{found.toml}", lines=True)


def _show_fields(found: Sniffed) -> None:
    """Print the column of each field, and how its values are written."""
    if found.fields:
        rows = [[name, column, written] for name, (column, written) in found.fields.items()]
        rows += [[name, "", f"{value} (not in the file)"] for name, value in found.fills.items()]
        table("", ["field", "column", "written as"], rows)


def _parts(found: Sniffed) -> list[str]:
    names = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes"}
    parts = [found.form]
    if found.container:
        parts.append(f"compressed ({found.container})")
    if found.encoding:
        parts.append(found.encoding)
    if found.delimiter:
        parts.append(f"{len(found.columns)} cells delimited by {names.get(found.delimiter, repr(found.delimiter))}")
    if found.header is not None:
        parts.append("with a header" if found.header else "without a header")
    return parts


@click.command()
@click.argument("name", required=False, shell_complete=completing.formats)
@json_option
@wide_option
@click.pass_obj
def formats(app: App, /, name: str | None, as_json: bool) -> None:
    """List the known file formats, or show the format NAME. Formats are built in, from plugins, or from [formats.NAME] in fpa.toml."""
    with app.open() as data:
        known = data.formats
    if name is not None and name not in known:
        from fpa_core.config import did_you_mean

        raise DataError(f"unknown format {name!r}", hint=did_you_mean(name, known))
    chosen = {each: offer for each, offer in sorted(known.items()) if name in (None, each)}
    if as_json:
        print_results(map(_as_dict, chosen.values()))
    elif name is None:
        table(
            "",
            ["format", "description", "recognised by"],
            [[each, offer.description, _recognised(offer)] for each, offer in chosen.items()],
            empty="no formats",
        )
    else:
        import json

        for key, value in _as_dict(chosen[name]).items():
            say(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def _recognised(offer: FormatOffer) -> str:
    match = offer.format.match
    if match is None:
        return "its name, with --as"
    if match.columns:
        more = " ..." if len(match.columns) > 4 else ""
        return f"the columns {', '.join(match.columns[:4])}{more}"
    return f"rows of {len(match.row)} cells without a header" + (
        ", and the name of the file" if match.file_required else ""
    )


def _as_dict(offer: FormatOffer) -> dict[str, Any]:
    from attrs import asdict

    from fpa_core.formats import Format

    default = asdict(Format())
    told = {key: value for key, value in asdict(offer.format).items() if value != default[key]}
    return {"name": offer.name, "description": offer.description, "recognised_by": _recognised(offer)} | told

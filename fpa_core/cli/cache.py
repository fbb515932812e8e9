"""Commands for the cache: inspect, warm, invalidate and clear it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App, error_values, exit_code
from fpa_core.cli.files import KINDS
from fpa_core.cli.output import json_option, note, print_json, print_results, say
from fpa_core.cli.tables import table, wide_option
from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    from fpa_core.store import Selection

__all__ = ["cache"]

ABSENT = 1
"""The exit code of ``fpa cache get`` when there is no usable value."""


@click.group()
def cache() -> None:
    """Inspect, warm, invalidate or clear the cache.

    A memory cache lives only as long as its process. These commands are useful if the cache is on disk or has an L2 cache on disk.
    """


@cache.command("stats")
@json_option
@wide_option
@click.pass_obj
def cache_stats(app: App, /, as_json: bool) -> None:
    """Show cache statistics. A memory cache lives only as long as its process; hits and misses are counted per process."""
    with app.open() as data:
        stats = data.cache.get_stats().as_dict() | {"backend": data.config.cache.backend}
    if as_json:
        print_results([stats])
    else:
        table("", ["figure", "value"], [[name, str(value)] for name, value in stats.items()])


@cache.command("keys")
@click.argument("pattern", default="*")
@json_option
@click.pass_obj
def cache_keys(app: App, /, pattern: str, as_json: bool) -> None:
    """List the keys that match PATTERN, or all keys. In PATTERN, * matches any characters and ? matches one; a backslash escapes them."""
    with app.open() as data:
        found = sorted(data.cache.keys(pattern))
    if as_json:
        print_results({"key": key} for key in found)
    else:
        for key in found:
            say(key)


@cache.command("get")
@click.argument("key")
@json_option
@click.pass_obj
def cache_get(app: App, /, key: str, as_json: bool) -> None:
    """Show the value of KEY, its age and its remaining lifetime. If there is no usable value, show the reason and exit with 1."""
    with app.open() as data:
        found = data.cache.lookup(key)
    if not found:
        if as_json:
            print_results([{"key": key, "found": False, "reason": found.reason}])
        else:
            note(f"no value: {found.reason}")
        sys.exit(ABSENT)
    value = _plain(found.value)
    if as_json:
        told = {"key": key, "found": True, "age": found.age, "remaining": found.remaining, "value": value}
        print_results([told])
        return
    left = "never expires" if found.remaining is None else f"expires in {found.remaining:.1f} s"
    note(f"{found.age:.1f} s old, {left}")
    print_json(value)


def _plain(value: Any) -> Any:
    """Return a cached value as JSON-compatible data: records as objects, tables by their row counts, bytes by their length."""
    from fpa_core.cache.codec import is_arrow_table
    from fpa_core.kinds import KINDS as ALL
    from fpa_core.serialization import to_dict

    if type(value) in {kind.record for kind in ALL.values()}:
        return to_dict(value)
    if is_arrow_table(value):
        return {"columns": value.schema.names, "rows": value.num_rows}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


@cache.command("invalidate")
@click.argument("pattern", required=False)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Invalidate the entries with this tag, such as quotes/AAPL or bars!; repeatable.",
)
@json_option
@click.pass_obj
def cache_invalidate(app: App, /, pattern: str | None, tags: tuple[str, ...], as_json: bool) -> None:
    """Remove the keys that match PATTERN, or invalidate all entries with a tag, or both.

    Results of reads have the tag KIND/SYMBOL for each symbol of the query, or KIND/* if it has none, and always the tag KIND!.
    """
    if pattern is None and not tags:
        raise click.UsageError("give a PATTERN, or a tag with --tag")
    with app.open() as data:
        data.cache.invalidate_tags(*tags)
        dropped = None if pattern is None else data.cache.invalidate_pattern(pattern)
    if as_json:
        print_results([{"dropped": dropped, "tags": list(tags)}])
        return
    if tags:
        say(f"invalidated all entries with the tags: {', '.join(tags)}")
    if dropped is not None:
        say(f"{dropped} entries removed")


@cache.command("warm")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("symbols", nargs=-1, shell_complete=completing.symbols)
@click.option("--start", help="First time included, as in the reads to warm for.")
@click.option("--end", help="First time excluded.")
@click.option(
    "--form",
    type=click.Choice(["records", "arrow", "count"]),
    default="records",
    show_default=True,
    help="The result to cache: that of to_list(), to_arrow() or count().",
)
@json_option
@click.pass_obj
def cache_warm(
    app: App,
    /,
    kind: str,
    symbols: tuple[str, ...],
    form: str,
    as_json: bool,
    start: str | None,
    end: str | None,
) -> None:
    """Read KIND of each of SYMBOLS, or of all symbols, so that programs find the results in the cache.

    A cached result serves identical reads: one symbol, the same start and end, the same form. If one read fails, the others continue, and the
    exit code is that of the last error.
    """
    started, failed, error = time.perf_counter(), dict[str, str](), None
    with app.open() as data:
        wanted = list(symbols) or [extent.subject for extent in data.store.inventory(kind)]
        before = data.cache.get_stats()
        for symbol in wanted:
            try:
                _read(data.select(kind, symbol, start=start, end=end), form)
            except FpaError as problem:
                failed[symbol], error = str(problem), problem
        since = data.cache.get_stats() - before
        if data.config.cache.backend == "memory":
            note("the memory cache is lost when this command ends: warm it in the program, or use a disk cache")
    told = {"loaded": since.loads, "present": since.hits, "failed": failed, "seconds": time.perf_counter() - started}
    if as_json:
        print_results([told], error=None if error is None else error_values(error))
    else:
        say(f"{since.loads} results loaded, {since.hits} already cached, {len(failed)} failed")
        for symbol, text in failed.items():
            note(f"{symbol}: {text}")
    if error is not None:
        sys.exit(exit_code(error))


def _read(selection: Selection[Any], form: str) -> None:
    {"records": selection.to_list, "arrow": selection.to_arrow, "count": selection.count}[form]()


@cache.command("clear")
@json_option
@click.pass_obj
def cache_clear(app: App, /, as_json: bool) -> None:
    """Remove every cached entry."""
    with app.open() as data:
        dropped = data.cache.clear()
    if as_json:
        print_results([{"dropped": dropped}])
    else:
        say(f"{dropped} entries removed")

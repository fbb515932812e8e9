"""Commands about the cache: what is in it, and putting in and taking out."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli.app import App, exit_code
from fpa_core.cli.output import json_option, note, print_json, say, table
from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer

__all__ = ["cache"]

KINDS = ["quotes", "trades", "bars", "orders", "positions", "snapshots"]
ABSENT = 1
"""The exit code of ``fpa cache get`` when there is no value of use."""


@click.group()
def cache() -> None:
    """Look at the cache, fill it, or take things out.

    A memory cache begins and ends with its process, so these commands are of use for a cache on disk, or with one behind.
    """


@cache.command("stats")
@json_option
@click.pass_obj
def cache_stats(app: App, /, as_json: bool) -> None:
    """Tell how full the cache is. What a memory cache holds ends with its process; hits and misses are this process's own."""
    with app.open() as data:
        stats = data.cache.get_stats().as_dict() | {"backend": data.config.cache.backend}
    if as_json:
        print_json(stats)
    else:
        table("", ["figure", "value"], [[name, str(value)] for name, value in stats.items()])


@cache.command("keys")
@click.argument("pattern", default="*")
@json_option
@click.pass_obj
def cache_keys(app: App, /, pattern: str, as_json: bool) -> None:
    """List the keys that match PATTERN, or all; in it * stands for any characters, ? for one, and a backslash takes that away."""
    with app.open() as data:
        found = sorted(data.cache.keys(pattern))
    if as_json:
        print_json(found)
    else:
        for key in found:
            say(key)


@cache.command("get")
@click.argument("key")
@json_option
@click.pass_obj
def cache_get(app: App, /, key: str, as_json: bool) -> None:
    """Show the value under KEY, its age and how long it lives. The exit code is 1 when there is none of use, with the reason."""
    with app.open() as data:
        found = data.cache.lookup(key)
    if not found:
        if as_json:
            print_json({"key": key, "found": False, "reason": found.reason})
        else:
            note(f"no value: {found.reason}")
        sys.exit(ABSENT)
    value = _plain(found.value)
    if as_json:
        print_json({"key": key, "found": True, "age": found.age, "remaining": found.remaining, "value": value})
        return
    left = "for ever" if found.remaining is None else f"{found.remaining:.1f} s more"
    note(f"{found.age:.1f} s old, lives {left}")
    print_json(value)


def _plain(value: Any) -> Any:
    """Return a cached value as JSON may have it: records as objects, tables by their rows, bytes by their length."""
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
@click.option("--tag", "tags", multiple=True, help="End what bears this tag, as quotes/AAPL or bars!; repeatable.")
@json_option
@click.pass_obj
def cache_invalidate(app: App, /, pattern: str | None, tags: tuple[str, ...], as_json: bool) -> None:
    """Take out the keys that match PATTERN, or end all answers that bear a tag, or both.

    Reads bear the tag KIND/SYMBOL of each symbol they name, or KIND/* when they name none, and KIND! always.
    """
    if pattern is None and not tags:
        raise click.UsageError("give a pattern, or a tag with --tag")
    with app.open() as data:
        data.cache.invalidate_tags(*tags)
        dropped = None if pattern is None else data.cache.invalidate_pattern(pattern)
    if as_json:
        print_json({"dropped": dropped, "tags": list(tags)})
        return
    if tags:
        say(f"what bears {', '.join(tags)} has ended")
    if dropped is not None:
        say(f"{dropped} entries dropped")


@cache.command("warm")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("symbols", nargs=-1)
@click.option("--start", help="First time included, of the reads to come.")
@click.option("--end", help="First time left out.")
@click.option(
    "--form",
    type=click.Choice(["records", "arrow", "count"]),
    default="records",
    show_default=True,
    help="What is kept: the answer of to_list(), of to_arrow(), or of count().",
)
@json_option
@click.pass_obj
def cache_warm(
    app: App, /, kind: str, symbols: tuple[str, ...], form: str, as_json: bool, **range_: str | None
) -> None:
    """Read KIND of each of SYMBOLS, or of all there are, so that programs find the answers in the cache.

    An answer serves reads that ask for the same: one symbol, the same start and end, the same form. One that fails does not stop the others;
    the exit code is then that of the last error.
    """
    started, failed, error = time.perf_counter(), dict[str, str](), None
    with app.open() as data:
        wanted = list(symbols) or [extent.subject for extent in data.store.inventory(kind)]
        before = data.cache.get_stats()
        for symbol in wanted:
            try:
                _read(data, kind, symbol, form, range_)
            except FpaError as problem:
                failed[symbol], error = str(problem), problem
        since = data.cache.get_stats() - before
        if data.config.cache.backend == "memory":
            note("the memory cache ends with this command: warm it in the program, or use one on disk")
    told = {"loaded": since.loads, "present": since.hits, "failed": failed, "seconds": time.perf_counter() - started}
    if as_json:
        print_json(told)
    else:
        say(f"{since.loads} answers loaded, {since.hits} there already, {len(failed)} failed")
        for symbol, text in failed.items():
            note(f"{symbol}: {text}")
    if error is not None:
        sys.exit(exit_code(error))


def _read(data: DataLayer, kind: str, symbol: str, form: str, range_: dict[str, str | None]) -> None:
    selection = data.select(kind, symbol, **range_)
    {"records": selection.to_list, "arrow": selection.to_arrow, "count": selection.count}[form]()


@cache.command("clear")
@json_option
@click.pass_obj
def cache_clear(app: App, /, as_json: bool) -> None:
    """Forget every cached answer."""
    with app.open() as data:
        dropped = data.cache.clear()
    if as_json:
        print_json({"dropped": dropped})
    else:
        say(f"{dropped} entries dropped")

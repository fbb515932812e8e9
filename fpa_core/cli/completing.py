"""What a shell completes: symbols, accounts, rules, environments, formats, sources.

Completion must neither fail nor print: with a broken configuration there is just nothing to complete. It changes nothing in the database.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer

__all__ = ["MOST", "accounts", "environments", "formats", "kinds_or_sources", "rule_ids", "sources", "symbols"]

MOST = 200
"""The number of suggestions to return: a shell asks for confirmation before it lists more."""

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(candidates: Callable[[click.Context], Iterable[str]]) -> Completer:
    """Return what click calls to complete a word that begins with some characters."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        found: list[str] = []
        with contextlib.suppress(FpaError, OSError, click.ClickException):
            found = sorted({each for each in candidates(context) if each.startswith(incomplete)})
        return found[:MOST]

    return complete


@contextlib.contextmanager
def _opened(context: click.Context, *, existing: bool = False) -> Iterator[DataLayer]:
    """Open the layer that the command would use, to read only. Warnings would appear amid the line that is typed."""
    from fpa_core.cli.app import App
    from fpa_core.cli.output import reserved_output

    given = context.find_root().params
    app = App(given.get("config"), given.get("env"), None, read_only=True)
    logging.disable()
    try:
        with reserved_output(), app.open(existing=existing) as data:
            yield data
    finally:
        logging.disable(logging.NOTSET)


def _symbols(context: click.Context) -> Iterable[str]:
    """Yield the symbols that are stored, of the kind that was typed before."""
    from fpa_core.kinds import KINDS

    given = context.params
    kind = given.get("kind")
    if kind is None and given.get("what") in ("quotes", "trades", "bars"):
        kind = given["what"]
    with _opened(context, existing=True) as data:
        for entry in data.store.inventory(kind):
            if kind is not None or KINDS[entry.kind].subject == "symbol":
                yield entry.subject


def _accounts(context: click.Context) -> Iterable[str]:
    with _opened(context, existing=True) as data:
        yield from data.portfolio.accounts()


def _rule_ids(context: click.Context) -> Iterable[str]:
    with _opened(context) as data:
        yield from data.plugins.rules


def _environments(context: click.Context) -> Iterable[str]:
    from fpa_core import config

    path = context.find_root().params.get("config")
    yield from config.load(path, environ={}, demand_variables=False).environments


def _formats(context: click.Context) -> Iterable[str]:
    with _opened(context) as data:
        yield from data.formats


def _kinds_or_sources(context: click.Context) -> Iterable[str]:
    yield from ("quotes", "trades", "bars")
    with contextlib.suppress(FpaError, OSError):
        yield from _sources(context)


def _sources(context: click.Context) -> Iterable[str]:
    with _opened(context) as data:
        yield from (*data.config.sources, *data.plugins.sources)


symbols = _completer(_symbols)
accounts = _completer(_accounts)
rule_ids = _completer(_rule_ids)
environments = _completer(_environments)
formats = _completer(_formats)
sources = _completer(_sources)
kinds_or_sources = _completer(_kinds_or_sources)

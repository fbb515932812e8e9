"""Which of the formats there are a file has."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, FormatOffer, Match, merged
from fpa_plugins.files.vocabulary import squeezed

__all__ = ["Recognised", "recognise", "with_file_name"]


@frozen
class Recognised:
    """The format of a file: the recognised one, with the user's options on top.

    :ivar offer: the format that was named or recognised; None for none.
    :ivar date: what the name of the file says of the day, as ``20131007``.
    """

    form: Format
    offer: FormatOffer | None = None
    date: str | None = None

    @property
    def name(self) -> str | None:
        """The name of the format."""
        return None if self.offer is None else self.offer.name


def recognise(
    offers: Mapping[str, FormatOffer],
    said: Format,
    named: str | None,
    *,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    file: str,
    source: str,
) -> Recognised:
    """Return the format of a file with such *names*, or without a header with such first *rows*.

    :param said: what the user says; *named* the format to take, None to find it out.
    :raises DataError: when the format named is unknown, or two fit equally well.
    """
    if named is not None:
        return with_file_name(merged(_named(offers, named, source).format, said), _named(offers, named, source), file)
    best: list[FormatOffer] = []
    most = 0
    for offer in offers.values():
        match = offer.format.match
        if match is None or (said.kind is not None and offer.format.kind not in {None, said.kind}):
            continue
        weight = _weight(match, names, rows, file)
        if weight > most:
            best, most = [offer], weight
        elif weight and weight == most:
            best.append(offer)
    if len(best) > 1:
        choices = " or ".join(offer.name for offer in best)
        raise DataError(
            f"{source}: the format of the file is ambiguous: {choices}",
            hint=f"choose one with --as {best[0].name}",
            source=source,
        )
    if not best:
        return Recognised(said)
    return with_file_name(merged(best[0].format, said), best[0], file)


def _named(offers: Mapping[str, FormatOffer], name: str, source: str) -> FormatOffer:
    import difflib

    if name in offers:
        return offers[name]
    near = difflib.get_close_matches(name, offers, n=3)
    raise DataError(
        f"{source}: unknown format {name!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "`fpa formats` lists them",
        source=source,
    )


def with_file_name(form: Format, offer: FormatOffer, file: str) -> Recognised:
    """Return a format with the values found in the file's name; the user's options take precedence."""
    match = offer.format.match
    found = re.search(match.file, file, re.IGNORECASE) if match is not None and match.file else None
    if found is None:
        return Recognised(form, offer)
    groups = found.groupdict()
    told = Format(
        symbol=groups.get("symbol") if form.symbol is None else None,
        interval=groups.get("interval") if form.interval is None else None,
    )
    return Recognised(merged(form, told), offer, groups.get("date"))


def _weight(match: Match, names: Sequence[str], rows: Sequence[Sequence[str]], file: str) -> int:
    """Return how much of a file a match is about; 0 where it does not hold."""
    if match.file_required and not (match.file and re.search(match.file, file, re.IGNORECASE)):
        return 0
    if match.columns or match.without:
        have: frozenset[str] = frozenset(names) if match.exact else _keys(tuple(names))
        wanted, unwanted = _looked_for(match)
        if not names or not all(_has(have, name) for name in wanted) or any(_has(have, name) for name in unwanted):
            return 0
    if match.row and not (rows and not names and all(_fits(match.row, row) for row in rows)):
        return 0
    return 2 * len(match.columns) + len(match.without) + len(match.row) + (1 if match.file_required else 0)


@functools.lru_cache(maxsize=1_024)
def _looked_for(match: Match) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that a header must have and must not have, as they are compared; a ``*`` at the end stays."""

    def compared(name: str) -> str:
        return name if match.exact else squeezed(name) + ("*" if name.endswith("*") else "")

    return tuple(map(compared, match.columns)), tuple(map(compared, match.without))


def _has(have: frozenset[str], name: str) -> bool:
    return any(each.startswith(name[:-1]) for each in have) if name.endswith("*") else name in have


@functools.lru_cache(maxsize=16)
def _keys(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(squeezed, names))


def _fits(patterns: Sequence[str], row: Sequence[str]) -> bool:
    return len(patterns) == len(row) and all(
        re.fullmatch(pattern, cell.strip()) for pattern, cell in zip(patterns, row, strict=True)
    )

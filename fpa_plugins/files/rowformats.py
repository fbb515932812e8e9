"""The format of each block of a table's rows, and rows of several formats parted from each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, Prepare, merged
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.cells import texts_of
from fpa_plugins.files.recognise import Recognised, recognise, with_file_name
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.tables import Table
from fpa_plugins.files.unpivot import tuple_names

__all__ = ["ROWS_TRIED", "RowFormats"]

ROWS_TRIED = 20
"""Rows without a header that the patterns of a format are tried on."""


class RowFormats:
    """Finds the format of each block of a table, and parts its rows where they have several."""

    def __init__(self, table: Table, request: SourceRequest, said: Format) -> None:
        self._table = table
        self._request = request
        self._said = said
        self._found: Recognised | None = table.recognised

    def of(self, block: Rows) -> Iterator[tuple[Recognised, Rows]]:
        """Yield the rows of *block* with their format."""
        wide = tuple_names(block.names)
        for plain in (block,) if wide is None else wide.rows(block):
            if self._found is None:
                self._found = self._recognised(plain)
            recognised = self._found
            prepare = None if recognised.offer is None else recognised.offer.prepare
            named = _named_columns(plain, recognised.form)
            rows = named if prepare is None else self._prepared(prepare, named)
            wanted = self._wanted(recognised.form, rows)
            if recognised.form.divide_by:
                yield from self._parts(recognised, wanted)
            else:
                yield recognised, wanted

    def _prepared(self, prepare: Prepare, rows: Rows) -> Rows:
        """Return rows as a format's own function changes them.

        :raises DataError: when they are not as it takes them to be.
        """
        try:
            prepared: Rows = prepare(rows, self._said)
        except DataError as error:
            if error.source is not None:
                raise
            raise DataError(f"{self._table.name}: {error.message}", hint=error.hint, source=self._table.name) from error
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{self._table.name}: the rows do not match the format: {error}",
                hint="set how to read the file with options, or use another format with --as NAME",
                source=self._table.name,
            ) from error
        return prepared

    def _recognised(self, rows: Rows) -> Recognised:
        bare = all(name == str(place) for place, name in enumerate(rows.names))
        return recognise(
            self._request.formats,
            self._said,
            self._request.format_name,
            names=() if bare else rows.names,
            rows=_texts_of_rows(rows) if bare else (),
            file=self._table.file,
            source=self._table.name,
        )

    def _parts(self, recognised: Recognised, rows: Rows) -> Iterator[tuple[Recognised, Rows]]:
        """Yield the rows of each format separately, divided by the column that names the format."""
        form = recognised.form
        if form.divide_by not in rows.names:
            raise DataError(
                f"{self._table.name}: no column {form.divide_by!r}, which selects the format of a row",
                source=self._table.name,
            )
        words = texts_of(rows.cells[rows.names.index(form.divide_by)])[0].to_pylist()
        rejects: Sequence[Any] = rows.rejects
        known = {word for word in dict.fromkeys(words) if form.parts.get(word or "") in self._request.formats}
        left_out = rows.left_out + sum(word not in known for word in words)
        for word in dict.fromkeys(word for word in words if word in known):
            offer = self._request.formats[form.parts[word]]
            chosen = [index for index, each in enumerate(words) if each == word]
            part = evolve(rows.take(chosen), rejects=rejects, empty=0, left_out=left_out)
            rejects, left_out = (), 0
            yield with_file_name(merged(offer.format, self._said), offer, self._table.file), part

    def _wanted(self, form: Format, rows: Rows) -> Rows:
        """Return the rows that a format takes; the others are of something else."""
        if not form.only:
            return rows
        kept = list(range(len(rows.positions)))
        for name, values in form.only.items():
            if name in rows.names:
                words = texts_of(rows.cells[rows.names.index(name)])[0].to_pylist()
                kept = [index for index in kept if words[index] in values]
        gone = len(rows.positions) - len(kept)
        return evolve(rows.take(kept), left_out=gone) if gone else rows


def _named_columns(rows: Rows, form: Format) -> Rows:
    """Return rows that came without names under those of the format."""
    bare = all(name == str(place) for place, name in enumerate(rows.names))
    return evolve(rows, names=form.names) if bare and form.names and len(form.names) == len(rows.names) else rows


def _texts_of_rows(rows: Rows) -> list[list[str]]:
    columns = [texts_of(cells.slice(0, ROWS_TRIED))[0].to_pylist() for cells in rows.cells]
    return [[text or "" for text in row] for row in zip(*columns, strict=True)]

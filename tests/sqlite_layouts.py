"""How rows come to lie in the SQLite store, and what may happen to its files: for the suites that run on each layout."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from fpa_core.engine import buffer, catalog, compaction, multisets
from fpa_core.store import DataStore
from fpa_core.testing.store import StoreMachine
from fpa_core.testing.store.machine import KINDS, BrokenOff, Calls, calls, contents, write
from fpa_plugins.sqlite.files import pages
from fpa_plugins.sqlite.plugin import open_store

LAYOUTS: dict[str, dict[tuple[Any, str], int]] = {
    "hot": {(catalog, "LEAST_ROWS"): 10**9, (catalog, "SEGMENT_ROWS"): 4, (compaction, "ROWS_AT_ONCE"): 8},
    "mixed": {
        (catalog, "LEAST_ROWS"): 2,
        (catalog, "SEGMENT_ROWS"): 3,
        (compaction, "ROWS_AT_ONCE"): 6,
        (multisets, "ROWS_AT_ONCE"): 5,
        (multisets, "MERGED_AT_ONCE"): 3,
        (multisets, "CROWD"): 2,
        (multisets, "MOST_IN_CROWDS"): 5,
        (buffer, "MOST_HELD"): 6,
        (buffer, "KEPT_OPEN"): 1,
        (pages, "CACHE_KIB"): 16,  # so that a batch reaches the log before it is committed
    },
    "sealed": {(catalog, "LEAST_ROWS"): 1, (catalog, "SEGMENT_ROWS"): 4},
}
"""Rows one by one until they are sealed; small segments among single rows; everything sealed at once."""


@contextlib.contextmanager
def laid_out(layout: str) -> Iterator[str]:
    """Make stores that are opened meanwhile lay out their rows like that."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in LAYOUTS[layout].items():
            patch.setattr(module, name, value)
        yield layout


class SqliteMachine(StoreMachine):
    """What may happen to a store, and to the files of SQLite."""

    numbers = itertools.count()

    @initialize(seal_rows=st.sampled_from([None, None, 3]), read_cache=st.sampled_from([0, 10**6]))
    def begin(self, seal_rows: int | None, read_cache: int) -> None:
        """Open an empty store, which may seal when it is closed, and keep in memory what it reads."""
        (options,) = self.factory(f"machine_{next(self.numbers)}").args
        self.options = evolve(options, synchronous="normal", seal_rows=seal_rows, read_cache=read_cache)
        self.open()

    def open(self) -> None:
        """Open the file."""
        self.opener = partial(open_store, self.options)
        super().open()

    def teardown(self) -> None:
        """Look at the file once more from outside."""
        if self.store is not None:
            with self.store.backend.database._pool.reader() as reader:
                assert "ok" == reader.pragma("integrity_check")
        super().teardown()

    @rule()
    def lose_power(self) -> None:
        """Go on with the files as they are, though nobody closed them: all that was acknowledged is there."""
        self.go_on_with(self.copy())

    @rule(given=calls, ahead=st.booleans())
    def die(self, given: Calls, ahead: bool) -> None:
        """End the process in the middle of a batch: nothing of the batch is left."""
        with contextlib.suppress(BrokenOff), self.store.batch() as batch:
            write(batch, self.shifted(given, ahead))
            copy = self.copy()
            raise BrokenOff
        self.go_on_with(copy)

    @rule(share=st.floats(0, 1))
    def lose_the_end_of_the_log(self, share: float) -> None:
        """Look at files whose log breaks off anywhere, as a disk that lies may leave it: they hold what there was after one of the steps."""
        copy = self.copy()
        log = Path(f"{copy}-wal")
        if log.exists():
            with log.open("r+b") as file:
                file.truncate(int(log.stat().st_size * share))
        with DataStore(open_store(evolve(self.options, path=copy, seal_rows=None))) as store:
            assert contents(store) in [{what: [] for what in KINDS}, *self.past]

    def copy(self) -> Path:
        """Copy the files as they are at this moment."""
        copy = self.options.path.with_name(f"copy_{next(self.numbers)}.db")
        for end in ("", "-wal"):
            if (source := Path(f"{self.options.path}{end}")).exists():
                shutil.copyfile(source, f"{copy}{end}")
        return copy

    def go_on_with(self, copy: Path) -> None:
        """Leave the present files, and open others."""
        self.store.close()
        self.options = evolve(self.options, path=copy)
        self.open()

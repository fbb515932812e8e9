"""Processes that use one store at once, each in a role: writers, streams, readers, and those who seal and back up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["together"]


def together(
    roles: Sequence[str], seconds: float, environ: Mapping[str, str], file: Path | None = None
) -> list[dict[str, Any]]:
    """Run a process for each role, and return what each tells: its role, how often it did its work, its rows, and its longest wait in seconds.

    :param file: the trades that the role ``halves`` ingests.
    """
    told = []
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, __file__, role, str(number), str(seconds), str(file or "")],
                    env=os.environ | environ,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number, role in enumerate(roles)
        ]
        for role, process in zip(roles, started, strict=True):
            out, error = process.communicate()
            assert process.returncode == 0, f"{role}: {error}"
            told.append(json.loads(out))
    return told


class _Worker:
    """What one process does, and tells."""

    def __init__(self, data: Any, number: int, file: str) -> None:
        self._data = data
        self._number = number
        self._file = file
        self.rows = 0
        self.symbol = f"P{number}"

    def save(self) -> None:
        from fpa_core.models import Quote
        from fpa_core.numbers import Instant

        self.rows += self._data.store.save(
            [Quote(self.symbol, Instant(self.rows + i), 1, 2) for i in range(50)]
        ).inserted

    def revise(self) -> None:
        from fpa_core.models import Bar
        from fpa_core.numbers import Instant

        self._data.store.save(
            [Bar("SHARED", Instant(i), 1, 2, 1, 2, self._number + self.rows, "1m") for i in range(20)]
        )
        self.rows += 1

    def stream(self) -> None:
        from fpa_core.models import Quote
        from fpa_core.numbers import Instant

        with self._data.store.stream(max_rows=16, max_delay="5ms") as stream:
            waiting = [stream.write(Quote(self.symbol, Instant(self.rows + i), 1, 2)) for i in range(64)]
            for one in waiting:
                one.result(60)
        self.rows += 64

    def halves(self) -> None:
        """Ingest the first or the second two thirds of the file, or all of it."""
        import pyarrow as pa

        if not hasattr(self, "_table"):
            self._table = pa.Table.from_batches(list(_batches_of(self._file)))
        third = self._table.num_rows // 3
        part = (self._table.slice(0, 2 * third), self._table.slice(third), self._table)[(self._number + self.rows) % 3]
        self._data.ingest(part, kind="trades")
        self.rows += 1

    def read(self) -> None:
        count = self._data.store.select("quotes").count() + self._data.store.select("trades").count()
        assert count >= self.rows, "rows are gone"
        self.rows = count
        self._data.store.select("trades", limit=5_000, latest_first=True).to_arrow()

    def seal(self) -> None:
        self._data.store.seal(least=100)

    def backup(self) -> None:
        self._data.operations.backup(keep=2)

    def fork(self) -> None:
        """Read in forked processes."""
        import multiprocessing

        _inherited[:] = [self._data]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert all(count >= self.rows for count in pool.map(_count, range(4)))
        self.rows = _count(0)


_inherited: list[Any] = []
"""The layer that forked processes get from their parent."""


def _count(_: int) -> int:
    return int(_inherited[0].store.select("quotes").count())


def _batches_of(file: str) -> Any:
    from unittest import mock

    import fpa_core

    with mock.patch.dict(os.environ):  # those of the store are not for this one
        for name in [name for name in os.environ if name.startswith("FPA_")]:
            del os.environ[name]
        with fpa_core.open(":memory:") as data:
            data.ingest(file)
            found = data.select("trades").to_arrow()
    yield from found.to_batches()


def _main(role: str, number: str, seconds: str, file: str) -> None:
    import fpa_core

    with fpa_core.open() as data:
        worker = _Worker(data, int(number), file)
        work: Callable[[], None] = getattr(worker, role)
        longest, times = 0.0, 0
        until = time.monotonic() + float(seconds)
        while (now := time.monotonic()) < until or not times:
            work()
            longest, times = max(longest, time.monotonic() - now), times + 1
    told = {"role": role, "symbol": worker.symbol, "times": times, "rows": worker.rows, "longest": round(longest, 2)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    _main(*sys.argv[1:])

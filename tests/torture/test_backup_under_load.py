"""Backups of a store that takes ten thousand rows a second."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

import fpa_core
from fpa_core.models import Quote
from fpa_core.numbers import Instant

RATE, SECONDS = 10_000, 30
GROUP = 500


@pytest.mark.torture
@pytest.mark.parametrize("key", [None, "a key of sixteen or more"])
def test_a_backup_under_load_is_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str | None
) -> None:
    """Each backup, restored, holds exactly what the store held at its last batch; with a key the same."""
    monkeypatch.setenv("FPA_BACKUP__FOLDER", str(tmp_path / "backups"))
    if key is not None:
        monkeypatch.setenv("FPA_STORE__KEY", key)
    written = 0
    done = threading.Event()
    with fpa_core.open(store__path=str(tmp_path / "test.db"), validator__level="off") as data:

        def write() -> None:
            nonlocal written
            began = time.monotonic()
            with data.store.stream(max_rows=GROUP, max_delay="20ms") as stream:
                while not done.is_set():
                    for _ in range(GROUP):
                        stream.write(Quote(f"S{written % 7}", Instant(10**18 + written // 3), 10 + written % 5, 99))
                        written += 1
                    done.wait(max(began + written / RATE - time.monotonic(), 0))

        writer = threading.Thread(target=write)
        writer.start()
        while written < 2 * GROUP:
            done.wait(0.01)
        began, made = time.monotonic(), []
        while time.monotonic() - began < SECONDS:
            made.append(data.operations.backup())
            done.wait(1)
        lasted = time.monotonic() - began
        done.set()
        writer.join()
        with capsys.disabled():
            sys.stdout.write(f"\n{written / lasted:,.0f} rows/s, {len(made)} backups\n")
        for number, backup in enumerate(made):
            path = str(tmp_path / f"restored{number}.db")
            with fpa_core.open(store__path=path, validator__level="off", lazy=True) as restored:
                restored.operations.restore(backup.path)
                last = restored.store.batches(children=True)[0]
                then = data.select(Quote, as_known_at=Instant(last.recorded_ns))
                assert then.to_arrow().equals(restored.select(Quote).to_arrow())
                assert () == restored.check().errors
        assert written == data.select(Quote).count()

"""What it takes to undo a batch of sealed quotes: time, memory, and the size of the file.

`python benchmarks/undo.py 1000000` writes that many made-up quotes, undoes them, undoes the undo, and so on. Each step is a process of its own, so
that its memory is known; the memory of the program itself, some 100 MB, is in it. Not on Windows, which does not tell it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

if TYPE_CHECKING:
    from fpa_core import DataLayer

STEPS = ("undo", "read as before", "compact", "undo the undo", "undo again", "undo that", "compact")


def undo_the_last(data: DataLayer) -> None:
    """Undo the last batch, whatever it is."""
    data.store.undo(data.store.batches()[0].id)


def read_as_before(data: DataLayer) -> None:
    """Read all that was known when the quotes had just been written."""
    before = data.store.batches()[-1].recorded_ns
    for _ in data.store.select("quotes", as_known_at=before).batches():
        pass


def compact(data: DataLayer) -> None:
    """Seal the history, and give back space."""
    data.operations.compact()


def act_of(step: str) -> Callable[[DataLayer], None]:
    """Return what a step does."""
    return {"read as before": read_as_before, "compact": compact}.get(step, undo_the_last)


def write(rows: int, folder: Path) -> None:
    """Write the quotes."""
    import scale

    scale._write(rows, folder)  # noqa: SLF001  # the benchmark of writing


def take(step: str, path: Path) -> None:
    """Take a step, and print seconds and memory."""
    import fpa_core

    with fpa_core.open(path) as data:
        begun = time.perf_counter()
        act_of(step)(data)
        taken = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": taken, "peak_mb": peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)}))


def run(rows: int, folder: Path) -> None:
    """Take all steps, one process each, and print a table. This one stays small: what it has would count for those that it begins."""
    path = folder / "scale.db"
    subprocess.run([sys.executable, __file__, "--write", str(rows), str(folder)], check=True)
    print(f"{'':<16}{'seconds':>9}{'peak, MB':>10}{'file, MB':>10}")
    print(f"{'written':<16}{'':>19}{path.stat().st_size / 1e6:>10.1f}")
    for step in STEPS:
        program = [sys.executable, __file__, "--step", step, str(path)]
        said = json.loads(subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout)
        size = path.stat().st_size / 1e6
        print(f"{step:<16}{said['seconds']:>9.2f}{said['peak_mb']:>10.0f}{size:>10.1f}")


if __name__ == "__main__":
    if sys.argv[1] == "--step":
        take(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1] == "--write":
        write(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as place:
            run(int(sys.argv[1]), Path(place))

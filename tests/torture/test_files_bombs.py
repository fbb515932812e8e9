"""A file that asks for much is done or refused soon, in bounded memory, whatever it claims to be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_bombs import BOMBS, Bomb

SECONDS, MEGABYTES, KILLED = 20, 1_000, 60

CHILD = """
import json, re, sys, time
import fpa_core
from fpa_core.exceptions import FpaError

started = time.monotonic()
config, path, options = sys.argv[1:]
with fpa_core.open(config) as data:
    try:
        receipt = data.ingest(path, **json.loads(options))
        outcome, detail = "done", f"{receipt.read} read, {receipt.inserted} stored"
    except FpaError as error:
        outcome, detail = "refused", f"{type(error).__name__}: {error}"[:300]
    except BaseException as error:
        outcome, detail = "untyped", f"{type(error).__name__}: {error}"[:300]
seconds = time.monotonic() - started
try:  # the peak that getrusage gives includes that of the process which this one was forked from
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
except OSError:
    import resource
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
print(json.dumps([outcome, detail, round(seconds, 1), peak]))
"""


def _parameters() -> Iterator[object]:
    for bomb in BOMBS:
        marks = [] if bomb.quick else [pytest.mark.torture]
        if bomb.beyond is not None:
            marks.append(pytest.mark.xfail(strict=False, reason=bomb.beyond))
        yield pytest.param(bomb, id=bomb.name, marks=marks)


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is not measured there")
@pytest.mark.parametrize("bomb", list(_parameters()))
def test_a_bomb_is_done_or_refused_within_bounds(bomb: Bomb, tmp_path: Path) -> None:
    """A file that asks for much is done or refused within 20 seconds and 1 GB, by an error of this project."""
    config = tmp_path / "fpa.toml"
    config.write_text('[store]\npath = "bombs.db"\n', "utf-8")
    path = bomb.written(tmp_path)
    size = path.stat().st_size
    try:
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(config), str(path), json.dumps(bomb.options)],
            capture_output=True,
            text=True,
            timeout=KILLED,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{bomb.name} ({size:,} bytes): not done in {KILLED} s")
    finally:
        for each in tmp_path.iterdir():
            each.unlink()
    assert run.returncode == 0, run.stderr[-2_000:]
    outcome, detail, seconds, peak = json.loads(run.stdout)
    told = f"{bomb.name} ({size:,} bytes): {outcome} in {seconds} s and {peak} MB; {detail}"
    sys.stdout.write(f"{told}\n")  # shown with -s
    assert outcome in {"done", "refused"}, told
    assert seconds < SECONDS, told
    assert peak < MEGABYTES, told

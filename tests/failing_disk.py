"""A store whose disk fails at one moment: every write, sync, truncation, deletion and read in turn, until all have succeeded."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FAILURES", "Sweep", "sweep"]

FAILURES = ("full", "io")
"""The disk has no space left, or an error of its own."""

EVENTS = {"full": ("write", "truncate"), "io": ("write", "sync", "truncate", "delete", "read")}


class Sweep(NamedTuple):
    """What became of the runs of a sweep.

    :ivar runs: runs in which the disk failed.
    :ivar failed: steps that ended in an error of this project, in all runs; ``done`` those that were acknowledged.
    :ivar faults: what was wrong: untyped errors, and answers that did not fit what is stored.
    """

    runs: int
    failed: int
    done: int
    faults: list[str]


def sweep(folder: Path, failure: str, *, lasting: bool, every: int = 1) -> Sweep:
    """Run all steps with a disk that fails at its first event, its second, and so on.

    :param lasting: whether the disk goes on failing until the steps are over, or only once.
    :param every: how many events further each run fails.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(folder), failure, str(int(lasting)), str(every)],
        cwd=Path(__file__).parent, capture_output=True, check=False, env=os.environ, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Sweep(*json.loads(done.stdout))


def _steps() -> dict[str, Callable[[Any], object]]:
    """Return what is tried on the store; each step changes the rows of a symbol of its own, which bears its name."""
    from fpa_core.models import Bar, Quote
    from fpa_core.numbers import Instant

    def quotes(symbol: str, count: int) -> list[Quote]:
        return [Quote(symbol, Instant(10**18 + i), 10 + i % 5, 99) for i in range(count)]

    def stream(data: Any) -> None:
        with data.store.stream(max_rows=8, max_delay=0) as written:
            outcomes = [written.write(one) for one in quotes("stream", 8)]
            for one in outcomes:
                one.result(60)

    def undo(data: Any) -> None:
        (batch,) = (one.id for one in data.store.batches() if one.origin == "to undo")
        data.store.undo(batch)

    return {
        "save": lambda data: data.store.save(quotes("save", 40)),
        "many": lambda data: data.store.save(quotes("many", 3_000)),
        "revise": lambda data: data.store.save([Bar("revise", Instant(0), 1, 2, 1, 2, 9, "1m")]),
        "stream": stream,
        "undo": undo,
        "delete": lambda data: data.store.delete(data.store.select(Quote, "delete")),
        "seal": lambda data: data.store.seal(),
        "read": lambda data: data.store.select(Quote, "undo").to_list(),
        "reject": lambda data: data.quarantine.discard(state="open"),
    }


def _made(path: Path) -> None:
    """Make the store that every run begins with."""
    from power_cuts import open_store_at

    from fpa_core.models import Bar, Quote
    from fpa_core.numbers import Instant
    from fpa_core.protocols import Quarantined

    with open_store_at(path) as data:
        data.store.save([Bar("revise", Instant(0), 1, 2, 1, 2, 5, "1m")])
        data.store.save([Quote("undo", Instant(10**18 + i), 10, 99) for i in range(50)], origin="to undo")
        data.store.save([Quote("delete", Instant(10**18 + i), 10, 99) for i in range(1_200)])
        with data.store.batch() as batch:
            batch.quarantine([Quarantined("bars", "reject", 5, 3, "{}", ())])


def _answers(data: Any) -> dict[str, str]:
    """Return what the store answers of the symbol of each step."""
    from fpa_core.models import Bar, Quote

    found = {name: repr(data.store.select(Quote, name).to_list()) for name in _steps()}
    found["revise"] = repr(data.store.select(Bar, "revise").to_list())
    return found | {"reject": str(data.quarantine.count(state="open"))}


class _Failing:
    """What a disk hears: once armed, its event of that number fails, and if it lasts, all after it.

    :ivar fired: how often it has failed since.
    """

    def __init__(self, failure: str, *, lasting: bool) -> None:
        self.fired = 0
        self._failure = failure
        self._lasting = lasting
        self._left: int | None = None

    def arm(self, number: int) -> None:
        self.fired, self._left = 0, number

    def disarm(self) -> None:
        self._left = None

    def __call__(self, event: Any) -> None:
        import apsw

        if self._left is None or event.what not in EVENTS[self._failure] or event.name.endswith("-shm"):
            return
        self._left -= 1
        if self._left == 0 or (self._lasting and self._left < 0):
            self.fired += 1
            raise apsw.FullError("no space") if self._failure == "full" else apsw.IOError("input/output error")


def _main(folder: Path, failure: str, *, lasting: bool, every: int) -> Sweep:
    from disks import Disk

    failing = _Failing(failure, lasting=lasting)
    disk = Disk(failing)
    template, place = folder / "template.db", folder / "run"
    _made(template)
    runs, failed, done = 0, 0, 0
    faults: list[str] = []
    for number in itertools.count(1, every):
        place.mkdir()
        shutil.copyfile(template, place / "test.db")
        succeeded, found = _run(place / "test.db", failing, number)
        faults += [f"event {number}: {fault}" for fault in found]
        shutil.rmtree(place)
        done += len(succeeded)
        failed += len(_steps()) - len(succeeded)
        if not failing.fired:
            break
        runs += 1
    del disk
    return Sweep(runs, failed, done, faults)


def _run(path: Path, failing: _Failing, number: int) -> tuple[set[str], list[str]]:
    """Do all steps with a disk that fails at one event; return those that succeeded, and what is wrong."""
    from power_cuts import open_store_at

    with open_store_at(path) as data:
        before = _answers(data)
        failing.arm(number)
        succeeded, faults = _do(data, failing)
        failing.disarm()
        answers, after = _answers(data), _after(before)
        for name in before:
            if answers[name] != (after if name in succeeded else before)[name]:
                faults.append(
                    f"{name} {'was acknowledged' if name in succeeded else 'failed'}, and the store says otherwise"
                )
        faults += [one.problem for one in data.check().errors]
    with open_store_at(path) as data:
        if answers != _answers(data):
            faults.append("opened again, the store has something else")
    return succeeded, faults


def _do(data: Any, failing: _Failing) -> tuple[set[str], list[str]]:
    from fpa_core.exceptions import FpaError

    succeeded, faults = set(), []
    for name, step in _steps().items():
        try:
            step(data)
            succeeded.add(name)
        except FpaError as error:
            if not failing.fired:
                faults.append(f"{name} fails without a fault of the disk: {error}")
        except BaseException as error:  # noqa: BLE001  # each is a fault
            faults.append(f"{name}: {type(error).__name__}: {error}")
    return succeeded, faults


def _after(before: dict[str, str]) -> dict[str, str]:
    """Return what the store answers once every step has been done."""
    import fpa_core
    from fpa_core.models import Bar, Quote
    from fpa_core.numbers import Instant

    with fpa_core.open(config={"store": {"backend": "memory"}, "validator": {"level": "off"}}) as data:
        for name in ("save", "many", "stream"):
            _steps()[name](data)
        found = {name: repr(data.store.select(Quote, name).to_list()) for name in before}
    revised = repr([Bar("revise", Instant(0), 1, 2, 1, 2, 9, "1m")])
    return found | {"revise": revised, "reject": "0"}


if __name__ == "__main__":
    _folder, _failure, _lasting, _every = sys.argv[1:]
    sys.stdout.write(json.dumps(_main(Path(_folder), _failure, lasting=_lasting == "1", every=int(_every))))

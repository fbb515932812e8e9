"""The benchmark of caches measures what it says: traces are what their names are, and an aim is judged as it is written. Nothing here is timed."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_traces_are_skewed_scanned_and_shifted() -> None:
    """The same seed makes the same requests; a tenth of the scan is asked for once; the favourites of the last trace change."""
    measures = load("cache_measures")
    traces = measures.traces(20_000)
    assert measures.traces(20_000) == traces
    once = [key for key in traces["scan"] if key.startswith("once")]
    assert 0.08 < len(once) / 20_000 < 0.12
    assert len(set(once)) == len(once)
    first, second = (
        Counter(part).most_common(1)[0][0] for part in (traces["shift"][:10_000], traces["shift"][10_000:])
    )
    assert first != second
    assert Counter(traces["zipf"]).most_common(1)[0][0] == first


def a_run(hit: float, stored: float) -> dict[str, Any]:
    def speed(get: float, put: float) -> dict[str, Any]:
        return {"title": "x", "get": {"ns": 1.0, "ratio": get}, "set": {"ns": 1.0, "ratio": put}}

    names = ("plain get", "get", "tagged get", "plain set", "set", "tagged set")
    return {
        "machine": "a machine", "python": "3", "rounds": 1, "requests": 1, "versions": {"theine": "2"},
        "speeds": {"backend": speed(1, 1), "fpa": speed(hit, stored), "theine": speed(9, 9)},
        "ratios": {name: {"title": name, "zipf": 0.78, "scan": scan, "shift": 0.7} for name, scan in (("fpa", 0.7), ("fpa-lru", 0.6))},
        "disk": {"bytes": {name: {"ns": 1.0, "ratio": 1.0} for name in names}},
    }  # fmt: skip


@pytest.mark.parametrize(("hit", "stored", "missed"), [(8, 8, 0), (8.1, 8, 1), (9.5, 21, 4)])
def test_aims_are_judged_as_written(hit: float, stored: float, missed: int) -> None:
    """At the limit an aim holds, beyond it does not; being behind a peer is another miss."""
    report = load("cache_report")
    run = a_run(hit, stored)
    run["aims"] = report.judge(run)
    assert missed == sum(not aim["holds"] for aim in run["aims"])
    for text in (report.text(run), report.markdown(run)):
        assert "theine 2" in text
        assert ("MISSED" in text) == bool(missed)

"""The benchmarks measure what they say: the rows are the same for all, and a claim is judged as it is written. Nothing here is timed."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pyarrow.compute as pc
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # named tuples look their module up
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_makes_the_same_rows() -> None:
    """Figures of two machines are about the same rows."""
    synthetic = load("synthetic")
    assert synthetic.quotes(5_000, seed=3).equals(synthetic.quotes(5_000, seed=3))
    assert not synthetic.quotes(5_000, seed=3).equals(synthetic.quotes(5_000, seed=4))


def test_rows_are_like_a_feed() -> None:
    """They are in order of time, no bid is above its offer, and about 2 % share symbol and time."""
    table = load("synthetic").quotes(20_000)
    times = table.column("timestamp").cast("int64").to_numpy()
    assert (times[1:] >= times[:-1]).all()
    assert pc.all(pc.less(table.column("bid"), table.column("ask"))).as_py()
    counts = table.group_by(["symbol", "timestamp"]).aggregate([([], "count_all")]).column("count_all").to_numpy()
    assert 0.015 < counts[counts > 1].sum() / len(times) < 0.025


def test_chunks_go_on_where_the_last_one_ended() -> None:
    """Sets larger than memory come in order, and whole."""
    found = list(load("synthetic").chunks(2_500, at_once=1_000))
    times = [table.column("timestamp").cast("int64").to_numpy() for table in found]
    assert [1_000, 1_000, 500] == [len(part) for part in times]
    assert all(one[-1] <= other[0] for one, other in itertools.pairwise(times))


@pytest.mark.parametrize(("ours", "holds"), [(3.0, True), (2.9, False)])
def test_a_claim_is_a_ratio_to_the_best_peer(ours: float, holds: bool) -> None:
    """Being ahead of one peer is not enough."""
    figures = {
        "fpa": {"write": {"rows_s": ours}},
        "duckdb": {"write": {"rows_s": 2.0}},
        "arcticdb": {"write": {"rows_s": 1.0}},
    }
    first, second, *_ = load("claims").judge(figures)
    assert holds is first.holds
    assert second.holds is None  # no Parquet in this run

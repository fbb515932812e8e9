"""The five checks by each validator, in one process: run by validator.py in the environment of the peers; prints JSON.

The checks: a bid above zero, an ask above zero, an ask not below the bid, a spread of at most a tenth of the mid price, and both sides there.
Each validator gets the quotes as it likes them best: this project and pointblank an Arrow table and a Polars frame made of it, pandera a
Polars frame, Great Expectations a pandas frame. Making these is not measured. Each must find the same number of bad rows for each check.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

BAD = 0.05
NOW = 2 * 10**18


def decimals(units: Any, scale: int = 2) -> pa.Array:
    """Return integers as decimals of Arrow, by their memory."""
    words = np.zeros((len(units), 2), np.int64)
    words[:, 0], words[:, 1] = units, units >> 63
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(units), [None, pa.py_buffer(words.tobytes())])


def quotes(rows: int) -> tuple[pa.Table, Any, Any]:
    """Return quotes as a table, and the prices in cents; of the bad ones, half are crossed, and a tenth each is wide or at zero."""
    chance = np.random.default_rng(20260730)
    bid = 10_000 + chance.integers(-50, 50, rows)
    ask = bid + chance.integers(1, 4, rows)
    lot = chance.random(rows)
    ask = np.where(lot < BAD * 0.5, bid - 2, ask)
    ask = np.where((lot >= BAD * 0.5) & (lot < BAD * 0.9), bid + 2_000, ask)
    bid = np.where((lot >= BAD * 0.9) & (lot < BAD), 0, bid)
    times = pa.array(10**18 + np.arange(rows) * 10**6).cast(pa.timestamp("ns", "UTC"))
    columns = {"symbol": pa.array(["IBM"] * rows), "timestamp": times, "bid": decimals(bid), "ask": decimals(ask)}
    return pa.table(columns), bid, ask


def expected(bid: Any, ask: Any) -> list[int]:
    """Count the bad rows of each check; a side at zero is none for crossed and wide."""
    both = (bid != 0) & (ask != 0)
    wide = both & (20 * (ask - bid) > (ask + bid))
    return [int(each.sum()) for each in (bid <= 0, ask <= 0, both & (ask < bid), wide, np.zeros(len(bid), bool))]


def ours(table: pa.Table) -> Callable[[], list[int]]:
    """Return the checks by this project's rules, exact, on decimals."""
    from fpa_core.kinds import QUOTES
    from fpa_core.validator import configure
    from fpa_plugins.rules.quotes import RULES
    from fpa_plugins.rules.ruleset import RuleSet

    names = ("quote.positive", "quote.crossed", "quote.spread", "quote.one_sided")
    rules = RuleSet([rule for rule in configure(RULES, "standard") if rule.id in names])

    def run() -> list[int]:
        found = {verdict.rule: verdict.passed for verdict in rules.validate(QUOTES, table, now_ns=NOW)}
        bad = [len(passed) - passed.null_count - passed.true_count for passed in map(found.__getitem__, names)]
        return [bad[0], 0, *bad[1:]]  # one rule looks at both prices

    return run


def pandera_polars(frame: Any) -> Callable[[], list[int]]:
    """Return the checks by pandera on a Polars frame of floats."""
    import pandera.polars as pandera
    import polars as pl

    both = (pl.col("bid") != 0) & (pl.col("ask") != 0)
    rules = [
        pl.col("bid") > 0, pl.col("ask") > 0, ~both | (pl.col("ask") >= pl.col("bid")),
        ~both | (20 * (pl.col("ask") - pl.col("bid")) <= pl.col("ask") + pl.col("bid")),
        pl.col("bid").is_not_null() & pl.col("ask").is_not_null(),
    ]  # fmt: skip

    def check(rule: Any, number: int) -> Any:
        return pandera.Check(lambda data: data.lazyframe.select(rule), name=str(number))

    schema = pandera.DataFrameSchema(
        {"bid": pandera.Column(float, nullable=True), "ask": pandera.Column(float, nullable=True)},
        checks=[check(rule, number) for number, rule in enumerate(rules)],
        strict=False,
    )

    def run() -> list[int]:
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            cases = errors.failure_cases
            counts = dict(cases.group_by("check").len().iter_rows())
            return [counts.get(str(number), 0) for number in range(5)]
        return [0] * 5

    return run


def pointblank(frame: Any) -> Callable[[], list[int]]:
    """Return the checks by pointblank on a Polars frame of floats."""
    import pointblank as pb
    import polars as pl

    both = (pl.col("bid") != 0) & (pl.col("ask") != 0)

    def run() -> list[int]:
        result = (
            pb.Validate(frame)
            .col_vals_gt("bid", 0, na_pass=True)
            .col_vals_gt("ask", 0, na_pass=True)
            .col_vals_expr(~both | (pl.col("ask") >= pl.col("bid")))
            .col_vals_expr(~both | (20 * (pl.col("ask") - pl.col("bid")) <= pl.col("ask") + pl.col("bid")))
            .col_vals_not_null(columns=["bid", "ask"])
            .interrogate(collect_extracts=False)
        )
        failed = result.n_failed()
        return [failed[1], failed[2], failed[3], failed[4], failed[5] + failed[6]]

    return run


def great_expectations(frame: Any) -> Callable[[], list[int]]:
    """Return the checks by Great Expectations on a pandas frame of floats; the two about both prices look at columns made beforehand."""
    import great_expectations as gx
    from great_expectations import expectations as gxe

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    both = (frame["bid"] != 0) & (frame["ask"] != 0)
    frame = frame.assign(
        gap=(frame["ask"] - frame["bid"]).where(both), room=(frame["ask"] + frame["bid"] - 20 * (frame["ask"] - frame["bid"])).where(both)
    )  # fmt: skip
    batch = (
        context.data_sources.add_pandas("quotes")
        .add_dataframe_asset("quotes")
        .add_batch_definition_whole_dataframe("all")
    )
    rules = [
        gxe.ExpectColumnValuesToBeBetween(column="bid", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="ask", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="gap", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(column="room", min_value=-1e-6),
        gxe.ExpectColumnValuesToNotBeNull(column="bid"),
        gxe.ExpectColumnValuesToNotBeNull(column="ask"),
    ]
    suite = gx.ExpectationSuite(name="quotes", expectations=rules)

    def run() -> list[int]:
        found = batch.get_batch(batch_parameters={"dataframe": frame}).validate(suite, result_format="BASIC")
        # The results come in an order of their own.
        bad = {
            (
                result.expectation_config.type.rpartition("_")[2],
                result.expectation_config.kwargs["column"],
            ): result.result["unexpected_count"]
            for result in found.results
        }
        missing = bad["null", "bid"] + bad["null", "ask"]
        return [*(bad["between", column] for column in ("bid", "ask", "gap", "room")), missing]

    return run


def engines(table: pa.Table) -> tuple[dict[str, Callable[[], list[int]]], dict[str, str]]:
    """Return each validator that can be imported, ready to run, and why the others cannot."""
    import polars as pl

    floats = pa.table({name: table.column(name).cast(pa.float64()) for name in ("bid", "ask")})
    frame = pl.from_arrow(floats)
    made: dict[str, Callable[[], list[int]]] = {"this project": ours(table)}
    skipped: dict[str, str] = {}
    for name, make, data in (
        ("pandera-polars", pandera_polars, frame),
        ("pointblank", pointblank, frame),
        ("great_expectations", great_expectations, floats.to_pandas()),
    ):
        try:
            made[name] = make(data)
        except ImportError as error:
            skipped[name] = str(error)
    return made, skipped


def milliseconds(run: Callable[[], Any]) -> float:
    """Return how long one run takes."""
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1e3


def own_costs(table: pa.Table, rounds: int) -> dict[str, float]:
    """Return what all rules of level standard cost: for the table in ms, with and without those about series, and for one quote in us."""
    from fpa_core.arrow.conversion import from_table
    from fpa_core.kinds import QUOTES
    from fpa_core.validator import configure
    from fpa_plugins.rules.catalog import RULES
    from fpa_plugins.rules.ruleset import RuleSet

    rules = configure(RULES, "standard")
    rows = RuleSet([rule for rule in rules if rule.scope == "row"])
    every = RuleSet(rules)
    records = from_table(QUOTES, table.slice(0, 20_000))

    def live() -> None:
        memory: dict[str, Any] = {}
        for record in records:
            every.check(record, memory, now_ns=NOW)

    costs = {
        "masks": lambda: rows.validate(QUOTES, table, {}, now_ns=NOW),
        "all": lambda: every.validate(QUOTES, table, {}, now_ns=NOW),
        "scalar": live,
    }
    medians = {name: statistics.median(milliseconds(run) for _ in range(rounds)) for name, run in costs.items()}
    return medians | {"scalar": medians["scalar"] * 1e3 / len(records)}


def version(name: str) -> str:
    """Return the version of a package that is compared with."""
    package = {"pandera-polars": "pandera"}.get(name, name)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main() -> None:
    warnings.simplefilter("ignore")
    rows, rounds = int(sys.argv[1]), int(sys.argv[2])
    table, bid, ask = quotes(rows)
    wanted = expected(bid, ask)
    made, skipped = engines(table)
    for name, run in made.items():
        if (found := run()) != wanted:  # the first run is not measured, and must find what is there
            sys.exit(f"{name} finds {found} bad rows, not {wanted}")
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, run in made.items():
            times[name].append(milliseconds(run))
    checks: dict[str, float | None] = {name: statistics.median(each) for name, each in times.items()}
    result = {
        "rows": rows, "rounds": rounds, "bad": BAD, "found": wanted, "five checks": checks | dict.fromkeys(skipped), "skipped": skipped,
        "versions": {name: version(name) for name in made}, **own_costs(table, rounds),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""What the project claims against its peers, as ratios and limits within one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Claim", "judge"]

OURS = "fpa"
DUCK = ("duckdb", "duckdb-sorted")
ARCTIC = ("arcticdb", "arcticdb-arrow", "arcticdb-floats")
PARQUET = ("parquet",)

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""System, measure, figure."""


class Claim(NamedTuple):
    """A claim judged: *holds* is None where there is nothing to judge it by."""

    what: str
    figure: str
    limit: str
    holds: bool | None


def judge(figures: Figures, rows: str = "synthetic") -> list[Claim]:
    """Judge all claims on the figures of the set of rows of that name."""
    claims = [
        _ratio(figures, "bulk write", "write", "rows_s", (*DUCK, *ARCTIC), 1.5),
        _ratio(figures, "bulk write", "write", "rows_s", PARQUET, 1.0),
        _ratio(figures, "range to columns", "range_columns", "rows_s", (*DUCK, *ARCTIC), 6.0),
        _ratio(figures, "range to columns", "range_columns", "rows_s", PARQUET, 3.0),
        _ratio(figures, "full scan", "scan", "rows_s", ARCTIC, 0.9),
        _ratio(figures, "live durable writes", "live", "rows_s", (*DUCK, *ARCTIC), 50.0),
        _limit(figures, "range to records, rows/s", "range_records", "rows_s", 1_000_000, at_least=True),
        _limit(figures, "live durable writes, rows/s", "live", "rows_s", 100_000, at_least=True),
        _limit(figures, "the same rows again, rows/s", "again", "rows_s", 2_000_000, at_least=True),
        _limit(figures, "the same rows again, rows doubled", "again", "doubled", 0),
        _limit(figures, "latest, sealed, p50 in us", "latest", "p50_us", 50),
        _limit(figures, "latest, hot, p50 in us", "latest_hot", "p50_us", 15),
        _limit(figures, "5,000 rows/s paced, durable p99 in ms", "paced", "p99_ms", 10),
        _limit(figures, "5,000 rows/s paced, share of a core", "paced", "core", 0.25),
    ]
    if rows == "synthetic":
        claims.append(_limit(figures, "bytes a row", "write", "bytes_row", 7.0))
    else:
        claims.append(_limit(figures, "CSV file to stored rows, rows/s", "csv", "rows_s", 700_000, at_least=True))
    return claims


def _figure(figures: Figures, system: str, measure: str, name: str) -> float | None:
    return figures.get(system, {}).get(measure, {}).get(name)


def _ratio(figures: Figures, what: str, measure: str, name: str, peers: Sequence[str], least: float) -> Claim:
    ours = _figure(figures, OURS, measure, name)
    found = {peer: value for peer in peers if (value := _figure(figures, peer, measure, name)) is not None}
    title = f"{what}, against {_families(peers)}"
    if ours is None or not found:
        return Claim(title, "-", f">= {least:g} x", None)
    best = max(found, key=found.__getitem__)
    ratio = ours / found[best]
    return Claim(title, f"{ratio:.2f} x ({best})", f">= {least:g} x", ratio >= least)


def _limit(figures: Figures, what: str, measure: str, name: str, limit: float, *, at_least: bool = False) -> Claim:
    value = _figure(figures, OURS, measure, name)
    sign = ">=" if at_least else "<="
    if value is None:
        return Claim(what, "-", f"{sign} {limit:,}", None)
    holds = value >= limit if at_least else value <= limit
    return Claim(what, f"{value:,.0f}" if value >= 1000 else f"{value:.2f}", f"{sign} {limit:,}", holds)


def _families(peers: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(peer.split("-")[0] for peer in peers))

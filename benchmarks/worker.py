"""The process of one system: it takes the name of a measure on a line, and answers with the figures as JSON on a line."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

SYSTEMS = {
    "fpa": ("systems.ours", "Ours", None),
    "fpa-bare": ("systems.ours", "OursBare", None),
    "duckdb": ("systems.duck", "Duck", "duckdb"),
    "duckdb-sorted": ("systems.duck", "DuckSorted", "duckdb"),
    "arcticdb": ("systems.arctic", "Arctic", "arcticdb"),
    "arcticdb-arrow": ("systems.arctic", "ArcticArrow", "arcticdb"),
    "arcticdb-floats": ("systems.arctic", "ArcticFloats", "arcticdb"),
    "parquet": ("systems.parquet", "Parquet", "pyarrow"),
    "nautilus": ("systems.nautilus", "Nautilus", "nautilus_trader"),
    "vnpy": ("systems.vnpy", "Vnpy", "vnpy_sqlite"),
    "sqlalchemy": ("systems.alchemy", "Alchemy", "sqlalchemy"),
    "handoff": ("systems.handoff", "Handoff", None),
}
"""Where each system is, and the distribution whose version is told; those without one are of this project."""


def main() -> None:
    name, data, folder = sys.argv[1:]
    # What a system prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def answer(content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        from measures import Bench
        from report import ABSENT
        from systems.rows import load

        module, cls, distribution = SYSTEMS[name]
        system_class = getattr(importlib.import_module(module), cls)
        rows = load(Path(data))
        if rows.kind not in system_class.kinds:
            answer({"skipped": f"has no place for {rows.kind}"})
            return
        bench = Bench(system_class(rows.first(system_class.most_rows)), Path(folder))
    except Exception as error:  # noqa: BLE001  # whatever a peer fails with is the reason to skip it
        answer({"skipped": _told(error)})
        return
    facts = {fact: getattr(system_class, fact) for fact in ("title", "durable", "lacks", "extras")}
    answer(facts | {"version": _version(distribution), "rows": bench.rows.table.num_rows})
    for line in sys.stdin:
        measure = line.strip()
        begun = time.perf_counter()
        try:
            answer(bench.extra(measure[6:]) if measure.startswith("extra:") else getattr(bench, measure)())
        except NotImplementedError:
            answer({"skipped": ABSENT})
        except Exception as error:  # noqa: BLE001  # one measure that fails leaves the others
            answer({"skipped": _told(error)})
        if os.environ.get("BENCHMARK_TRACE"):
            print(f"{name} {measure} {time.perf_counter() - begun:.2f} s", file=sys.stderr)


def _told(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


def _version(distribution: str | None) -> str:
    if distribution is None:
        return ""
    from importlib.metadata import version

    return version(distribution)


if __name__ == "__main__":
    main()

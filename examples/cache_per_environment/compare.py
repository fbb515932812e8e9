"""Run the same reads in every environment of the fpa.toml beside this script: only the cache differs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import fpa_core
from fpa_core import Quote


def main() -> None:
    """Ask three times for the same quotes, in each environment."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(shutil.copy(Path(__file__).with_name("fpa.toml"), folder))
        for env in (None, "test", "trading"):
            with fpa_core.open(settings, env=env) as data:
                data.ingest([Quote("AAPL", f"2024-05-01T14:30:{i:02}Z", "169.57", "169.59") for i in range(60)])
                answers = [data.select(Quote, "AAPL", start="2024-05-01T14:30:30Z").to_list() for _ in range(3)]
                stats = data.cache.get_stats()
                cache, ttl = data.config.cache, data.config.cache.ttl_of("quotes")
                print(
                    f"{env or 'base'}: {cache.backend}, quotes stay fresh for {ttl:g} s; {len(answers[0])} quotes, {stats.hits} hits"
                )


if __name__ == "__main__":
    main()

"""Long runs are no part of the default run: they are run where the marker is asked for."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked as torture unless the marker is named."""
    if "torture" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("torture"):
                item.add_marker(pytest.mark.skip(reason="a long run: pytest -m torture"))

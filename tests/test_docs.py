"""The documentation is complete, its links lead somewhere, and everything it shows runs as it says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docpages import ROOT, Session, blocks, pages

PAGES = [page for page in pages() if page.name != "README.md"]


@pytest.fixture
def session_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Make somebody who follows a page; what they import from it is forgotten afterwards."""
    known = set(sys.modules)

    def add(path: str) -> None:
        monkeypatch.syspath_prepend(path)
        importlib.invalidate_caches()

    yield lambda page: Session(page, tmp_path, monkeypatch.setenv, add)
    for name in set(sys.modules) - known:
        if (origin := getattr(sys.modules[name], "__file__", None)) and Path(origin).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language in {"python", "console"} for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_does_what_it_shows(page, session_of):
    """Following a page from top to bottom works, and gives the output that it shows."""
    session_of(page).follow()

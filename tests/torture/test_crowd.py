"""Many processes on one store for minutes: exact counts, no error of a lock, no long wait."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from crowd import together
from postgres_server import Server

import fpa_core

PATIENCE = 5.0
"""Seconds that a writer may wait for the others."""

SPY = "trades_us_equity_SPY_2013-10-07.csv.gz"


@pytest.fixture(params=["sqlite", "postgres"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the variables that configure an empty store, which several processes can open."""
    common = {"FPA_VALIDATOR__LEVEL": "off", "FPA_BACKUP__FOLDER": str(tmp_path / "backups")}
    if request.param == "sqlite":
        return common | {"FPA_STORE__PATH": str(tmp_path / "test.db")}
    server: Server = request.getfixturevalue("postgres_server")
    schema = {"FPA_STORE__SCHEMA": f"crowd_{request.node.originalname[5:20]}"}
    return common | schema | {"FPA_STORE__BACKEND": "postgres", "FPA_STORE__DSN": server.dsn()}


@pytest.mark.torture
def test_two_minutes_of_everything(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Writers, streams, readers, who seals and who backs up, and forked readers: nothing is lost, and nobody waits long."""
    backup = ["backup"] if "FPA_STORE__PATH" in environ else ["read"]
    forks = ["fork"] if hasattr(os, "fork") else []
    told = together(["save", "save", "stream", "stream", "revise", "seal", *backup, "read", *forks], 120, environ)
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{one}" for one in told) + "\n")
    expected = {one["symbol"]: one["rows"] for one in told if one["role"] in {"save", "stream"}}
    with fpa_core.open(environ=environ) as data:
        found = {entry.subject: entry.rows for entry in data.store.inventory("quotes")}
        assert expected == found
        assert 20 == data.select("bars").count()
        assert () == data.check().errors
    assert [] == [one for one in told if one["role"] in {"save", "stream", "revise"} and one["longest"] > PATIENCE]


@pytest.mark.torture
def test_a_minute_of_overlapping_parts(
    environ: dict[str, str], shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Processes that ingest overlapping parts of one file at once leave exactly its rows."""
    file = shared_data / SPY
    told = together(["halves"] * 6 + ["read", "read", "seal"], 60, environ, file)
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{one}" for one in told) + "\n")
    with fpa_core.open(environ=environ) as data, fpa_core.open(":memory:") as alone:
        alone.ingest(file)
        assert Counter(alone.select("trades")) == Counter(data.select("trades"))
        assert () == data.check().errors

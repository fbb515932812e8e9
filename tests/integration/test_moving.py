"""Copying a store to that of another overlay, and comparing the two, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from full_store import fill, read_all

import fpa_core
from fpa_core.cli.main import main
from fpa_core.engine.audit_log import append
from fpa_core.models import Quote
from fpa_core.numbers import Instant

CONFIG = """
[store]
path = "one.db"
[env.prod.store]
path = "two.db"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a configuration of two stores, of which the first has something of everything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fpa.toml").write_text(CONFIG)
    with fpa_core.open() as data:
        fill(data.store)
    return tmp_path


@pytest.fixture
def fpa(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command and returns its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


Run = Callable[..., tuple[int, str, str]]


def answers(env: str | None) -> dict[str, Any]:
    with fpa_core.open(env=env) as data:
        assert () == data.check().problems
        return read_all(data.store)


def test_copy_and_diff(folder: Path, fpa: Run) -> None:
    """A store is copied to that of an overlay and proven equal; afterwards the two are compared, and what differs is named."""
    code, out, err = fpa("store", "copy", "--to-env", "prod")
    assert (0, "") == (code, err)
    assert f"sqlite {folder / 'one.db'} was copied to sqlite {folder / 'two.db'}\n" in out
    assert "equal: " in out
    assert answers(None) == answers("prod")
    assert 0 == fpa("store", "diff", "--to-env", "prod")[0]
    with fpa_core.open(env="prod") as data:
        data.store.save(Quote("MORE", Instant(5), 1, 2))
        [*_, copied, _] = data.operations.audit_log()
        assert ("copy", "complete") == (copied.action, json.loads(copied.details)["state"])
    code, out, _ = fpa("store", "diff", "--to-env", "prod")
    assert 1 == code
    assert "only there" in out
    assert "MORE" in out
    code, out, _ = fpa("store", "diff", "--to-env", "prod", "--json")
    found = json.loads(out)
    assert (1, False, 2) == (code, found["summary"]["equal"], len(found["results"]))
    assert {
        "table": "rows",
        "kind": "quotes",
        "subject": "MORE",
        "month": "1970-01",
        "differs": "only there",
    }.items() <= (found["results"][1].items())
    code, _, err = fpa("store", "copy", "--to-env", "prod")
    assert 5 == code
    assert "it already holds other data" in err


def test_copy_as_json(folder: Path, fpa: Run) -> None:
    """The proof lists every part, with the number of its rows and its checksum; the same parts are listed for the copy."""
    found = json.loads(fpa("store", "copy", "--to-env", "prod", "--json")[1])
    assert found["summary"]["equal"]
    again = json.loads(fpa("--env", "prod", "store", "copy", "--to-env", "prod2", "--json")[1])
    assert "prod2" in again["error"]["message"]
    (folder / "fpa.toml").write_text(CONFIG + '[env.prod2.store]\nbackend = "memory"\n')
    again = json.loads(fpa("--env", "prod", "store", "copy", "--to-env", "prod2", "--json")[1])
    assert again["results"] == found["results"]
    parts = {(part["table"], part["kind"], part["subject"]): part["rows"] for part in found["results"]}
    assert (5_000, 40) == (parts["rows", "trades", "SEALED"], parts["rejected", "trades", "SEALED"])


def test_nothing_to_compare_with(folder: Path, fpa: Run) -> None:
    """A comparison with a store that is not there fails, and makes none."""
    code, _, err = fpa("store", "diff", "--to-env", "prod")
    assert 5 == code
    assert "two.db" in err
    assert not (folder / "two.db").exists()
    code, _, err = fpa("store", "copy", "--to-env", "nowhere")
    assert 3 == code
    assert "nowhere" in err


def test_one_anchor_for_two_stores(folder: Path, fpa: Run) -> None:
    """Two stores that would keep the end of their audit logs in one file are not copied: neither log could be verified any more."""
    (folder / "fpa.toml").write_text(CONFIG + '[audit]\nanchor = "one.anchor"\n')
    code, _, err = fpa("store", "copy", "--to-env", "prod")
    assert 3 == code
    assert "each needs one of its own" in err
    assert not (folder / "two.db").exists()
    (folder / "fpa.toml").write_text(
        CONFIG + '[audit]\nanchor = "one.anchor"\n[env.prod.audit]\nanchor = "two.anchor"\n'
    )
    assert 0 == fpa("store", "copy", "--to-env", "prod")[0]
    assert 0 == fpa("--env", "prod", "audit-log", "verify")[0]


def test_an_unfinished_copy_is_no_store(folder: Path, fpa: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Opening a store to which a copy was begun logs a warning, and its check fails, until the copy is complete."""
    with fpa_core.open(env="prod") as data, data.store.backend.database.writer("begin") as tables:  # type: ignore[attr-defined]
        first = next(fpa_core.open(folder / "one.db").operations.audit_log())
        append(tables.audit_log, "copy", {"from": "sqlite one.db", "store": first.hash, "state": "begun"})
    with fpa_core.open(env="prod") as data:
        assert data.store.inventory() == []
    assert "the store is an unfinished copy of sqlite one.db" in caplog.text
    assert 1 == fpa("--env", "prod", "store", "check")[0]
    assert 0 == fpa("store", "copy", "--to-env", "prod")[0]
    assert 0 == fpa("--env", "prod", "store", "check")[0]
    assert 0 == fpa("--read-only", "store", "copy", "--to-env", "prod")[0]

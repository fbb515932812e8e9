"""The commands for sources as users run them, each in a process of its own, against the server of Alpaca's shapes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import fpa_core
from fpa_core.cli import main
from fpa_core.models import Quote
from fpa_core.numbers import ns_text
from fpa_core.sources.gaps import merge_coverage

pytest.importorskip("alpaca")

from alpaca_server import KEY, SECRET, AlpacaServer, Fault, alpaca_server, configuration
from live_collector import multiset, wait_until

QUOTE = {"ap": 169.59, "as": 3, "ax": "Q", "bp": 169.57, "bs": 1, "bx": "P", "c": ["R"], "z": "C"}
BAR = {"o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378, "n": 461, "vw": 389.062639}
SECOND = 10**9

Fpa = Callable[..., Result]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AlpacaServer]:
    """Run the server, and configure the layer for it. The keys come from the environment."""
    with alpaca_server(page_rows=500) as running:
        configuration(running, tmp_path, calendar="none", api_key=None, secret_key=None)
        yield running


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Go to the folder of the configuration, and return the environment of the commands."""
    monkeypatch.chdir(tmp_path)
    return {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}


class _Main(click.Command):
    """Lets the runner go through :func:`fpa_core.cli.main.main`, where errors become exit codes."""

    def __init__(self) -> None:
        super().__init__("fpa")

    def main(self, args: Any = None, **_: Any) -> Any:
        return main.main(list(args or ()))


@pytest.fixture
def fpa(environ: dict[str, str]) -> Fpa:
    """Return a function that runs a command within the process, and checks its exit code."""

    def run(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(_Main(), list(arguments), env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert expect == result.exit_code, result.output
        assert SECRET not in result.output
        return result

    return run


@pytest.fixture
def begin(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that begins a command."""
    begun: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "fpa_core", *arguments],
            cwd=tmp_path, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def stored(folder: Path, what: Any = Quote) -> list[Any]:
    """Return what is stored."""
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        return data.select(what).to_list()


def results(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the results that a command printed for machines."""
    found: list[Any] = json.loads(done.stdout)["results"]
    return found


def test_history(server: AlpacaServer, fpa: Fpa, tmp_path: Path) -> None:
    """`fpa history` stores a range, shows what it did, and does nothing the second time; `fpa coverage` knows the range."""
    start = 1_714_570_200 * SECOND
    for number in range(1_200):
        server.add("quotes", "AAPL", start + number, QUOTE)
    command = ["history", "alpaca", "AAPL", "--kind", "quotes", "--start", ns_text(start)]
    command += ["--end", ns_text(start + SECOND)]
    assert "1,200 read, 1,200 inserted" in fpa(*command).stdout
    assert 3 == len(server.requests)
    assert "nothing to fetch" in fpa(*command).stdout
    nothing = json.loads(fpa(*command, "--json").stdout)
    assert (0, []) == (nothing["summary"]["read"], nothing["results"])
    assert 3 == len(server.requests)
    again = json.loads(fpa(*command, "--json", "--refetch").stdout)["summary"]
    assert (1_200, 1_200, 0) == (again["read"], again["duplicate"], again["inserted"])
    (entry, *_) = results(fpa("coverage", "--json"))
    assert ("quotes", "AAPL", "alpaca:iex", ns_text(start), ns_text(start + SECOND)) == tuple(
        entry[name] for name in ("kind", "symbol", "source", "start", "end")
    )
    assert 1_200 == len(stored(tmp_path))


def test_backfill(server: AlpacaServer, fpa: Fpa, tmp_path: Path) -> None:
    """`fpa gaps` finds a missing Tuesday between holidays and weekends, and `fpa backfill` closes just that, in as many requests as planned."""
    configuration(server, tmp_path, api_key=None, secret_key=None)  # with the calendar of New York
    # 2024-05-27 is Memorial Day, 2024-07-03 a half day, 2024-07-04 a holiday.
    for day in ("2024-05-24", "2024-05-28", "2024-05-29", "2024-07-02", "2024-07-03", "2024-07-05"):
        server.add("bars/1Day", "AAPL", f"{day}T04:00:00Z", BAR)
    whole = ["alpaca", "AAPL", "--start", "2024-05-24", "--end", "2024-07-08"]
    for start, end in (("2024-05-24", "2024-05-28"), ("2024-05-29", "2024-07-08")):
        fpa("history", "alpaca", "AAPL", "--start", start, "--end", end)
    (gap,) = results(fpa("gaps", *whole, "--json"))
    assert ("2024-05-28T00:00:00Z", "2024-05-29T00:00:00Z") == (gap["start"], gap["end"])
    plan = json.loads(fpa("backfill", *whole, "--dry-run", "--json").stdout)["summary"]
    assert (1, 1, 0.0) == (plan["requests"], plan["rows"], plan["seconds"])
    before = len(server.requests)
    fpa("backfill", *whole, expect=2)  # nobody can be asked
    assert before == len(server.requests)
    assert "1 inserted" in fpa("backfill", *whole, "--yes").stdout
    assert plan["requests"] == len(server.requests) - before
    assert [] == results(fpa("gaps", *whole, "--json"))
    assert "no gaps" in fpa("backfill", *whole, "--yes").stdout
    assert [] == results(fpa("backfill", *whole, "--yes", "--json"))
    assert 6 == len(stored(tmp_path, "bars"))


@pytest.mark.usefixtures("server")
def test_no_calendar(fpa: Fpa) -> None:
    """Without a calendar every hour that was not fetched is a gap; with one, no weekend is."""
    whole = ["gaps", "alpaca", "AAPL", "--start", "2024-05-25", "--end", "2024-05-27", "--json"]
    assert 1 == len(results(fpa(*whole)))
    assert 0 == len(results(fpa(*whole, "--calendar", "XNYS")))


def test_failures(server: AlpacaServer, fpa: Fpa) -> None:
    """A refusal is exit code 10 with the reason; what cannot be asked for is told without a traceback."""
    server.faults += [Fault(403, '{"message": "subscription does not permit"}')]
    failed = fpa("history", "alpaca", "AAPL", "--start", "2024-05-25", expect=10)
    assert "status 403: subscription does not permit" in failed.stderr
    assert "hint:" in failed.stderr
    fpa("history", "alpaca", "AAPL", "--start", "2024-05-25", "--interval", "2d", expect=7)
    fpa("history", "files", "AAPL", "--start", "2024-05-25", expect=7)
    fpa("history", "nothing", "AAPL", "--start", "2024-05-25", expect=4)


@pytest.mark.usefixtures("server")
def test_no_keys(fpa: Fpa, environ: dict[str, str]) -> None:
    """Without keys the error names the variable to set."""
    del environ["APCA_API_SECRET_KEY"]
    assert "APCA_API_SECRET_KEY" in fpa("sync", "alpaca", expect=3).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stream_ends_cleanly(server: AlpacaServer, begin: Any, tmp_path: Path, number: int) -> None:
    """`fpa stream` stores what comes until it is interrupted or terminated; then all is durable and the exit code is 0."""
    if sys.platform == "win32":
        pytest.skip("on Windows to terminate is to kill")
    process = begin("--log-level", "debug", "stream", "alpaca", "AAPL", "--json")
    server.wait_for_subscription(timeout=60)
    now = time.time_ns()
    server.publish("quotes", [("AAPL", now + number, QUOTE) for number in range(100)])
    server.publish("trades", [("AAPL", now, {"i": 1, "x": "D", "p": 1.5, "s": 1, "c": []})])
    database = tmp_path / "portfolio.db"
    wait_until(lambda: database.exists() and len(stored(tmp_path)) == 100, "the last quote", 60)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert 0 == process.returncode, error
    report = json.loads(out)["summary"]
    assert (101, 1, 0) == (report["inserted"], report["connections"], report["open_gaps"])
    assert "Traceback" not in error
    for secret in (KEY, SECRET):
        assert secret not in out + error


@pytest.mark.usefixtures("server")
def test_stream_for_a_time(fpa: Fpa) -> None:
    """`fpa stream --for` ends by itself after that time, with a report."""
    begun = time.monotonic()
    ended = json.loads(fpa("stream", "alpaca", "AAPL", "--for", "1s", "--json").stdout)["summary"]
    assert time.monotonic() - begun >= 1
    assert 0 == ended["inserted"]


def test_killed(server: AlpacaServer, begin: Any, tmp_path: Path) -> None:
    """After kill -9 the ledger claims no more than what is stored; the next run fetches the rest, and the store equals the source."""
    if sys.platform == "win32":
        pytest.skip("on Windows nothing ends in order that runs without an end")
    lines = "\n[sources.alpaca]\n"
    path = tmp_path / "fpa.toml"
    assert lines in path.read_text()
    sent: list[int] = []

    def publish(count: int) -> None:
        for _ in range(count):
            now = time.time_ns()
            rows = [("AAPL", now + number // 2, QUOTE | {"as": len(sent)}) for number in range(4)]
            server.publish("quotes", rows)
            sent.extend([len(sent)] * 4)
            time.sleep(0.002)

    process = begin("stream", "alpaca", "AAPL", "--kind", "quotes")
    server.wait_for_subscription(timeout=60)
    deadline = time.monotonic() + 60
    while not ledger(tmp_path):
        publish(50)
        assert time.monotonic() < deadline
    publish(50)
    process.kill()
    process.communicate()
    found = [int(quote.ask_size) for quote in stored(tmp_path)]
    ((_, ranges),) = ledger(tmp_path).items()
    _, rows = server.rows["quotes", "AAPL"]
    for start, end in ranges:
        covered = [row["as"] for row in rows if start <= fpa_core.numbers.to_ns(row["t"]) < end]
        assert covered
        assert not multiset(covered) - multiset(found)
    publish(20)  # nobody listens
    process = begin("stream", "alpaca", "AAPL", "--kind", "quotes", "--json")
    server.wait_for_subscription(2, timeout=60)
    publish(20)
    wait_until(lambda: len(stored(tmp_path)) == len(sent), "what nobody listened to", 60)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=90)
    assert 0 == process.returncode, error
    assert json.loads(out)["summary"]["refilled"] > 0
    assert multiset(sent) == multiset(int(quote.ask_size) for quote in stored(tmp_path))


def ledger(folder: Path) -> Any:
    """Return what the ledger covers."""
    if not (folder / "portfolio.db").exists():
        return {}
    with fpa_core.open(folder / "fpa.toml", environ={}) as data:
        return merge_coverage(data.store.coverage())


def test_sync(server: AlpacaServer, fpa: Fpa) -> None:
    """`fpa sync` stores the account; the second time nothing changes."""
    server.account = {
        "account_number": "PA1",
        "currency": "USD",
        "cash": "100.10",
        "equity": "269.69",
        "buying_power": "200",
    }
    server.positions = [
        {
            "symbol": "AAPL",
            "qty": "1",
            "side": "long",
            "market_value": "169.59",
            "cost_basis": "150",
            "asset_class": "us_equity",
        }
    ]
    assert 2 == results(fpa("sync", "alpaca", "--json"))[0]["inserted"]
    (again,) = results(fpa("sync", "alpaca", "--json"))
    assert (0, 2) == (again["inserted"], again["duplicate"])


def test_stream_of_orders(server: AlpacaServer, begin: Any, fpa: Fpa, tmp_path: Path) -> None:
    """`fpa stream --orders` stores updates of orders until it ends, and says what came; with symbols it is refused."""
    server.account = {"account_number": "PA1", "currency": "USD", "cash": "100.10", "equity": "269.69"}
    for arguments in (["--orders", "AAPL"], ["--orders", "--kind", "quotes"], ["--orders", "--queue", "5"], []):
        fpa("stream", "alpaca", *arguments, expect=2)
    order = {
        "id": "o1",
        "symbol": "AAPL",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "qty": "1",
        "status": "new",
    }
    order |= {"submitted_at": "2024-05-01T14:00:00Z", "updated_at": "2024-05-01T14:00:00Z"}
    process = begin("stream", "alpaca", "--orders", "--json")
    server.wait_for_subscription(timeout=60)
    server.update_order("new", order)
    database = tmp_path / "portfolio.db"
    for kind in ("snapshots", "orders"):
        wait_until(lambda kind=kind: database.exists() and len(stored(tmp_path, kind)) == 1, kind, 60)
    process.send_signal(signal.SIGTERM if sys.platform != "win32" else signal.CTRL_C_EVENT)
    out, error = process.communicate(timeout=60)
    assert 0 == process.returncode, error
    report = json.loads(out)["summary"]
    assert (1, 1, 1, []) == (report["inserted"], report["connections"], report["syncs"], report["unlisted"])
    assert SECRET not in out + error


def test_files_in_the_ledger(server: AlpacaServer, fpa: Fpa, tmp_path: Path) -> None:
    """What a file covers, as its user says, is shown by `fpa coverage`, and `--also` keeps it from being fetched."""
    rows = "".join(f"AAPL,2024-05-0{day},1,1,1,1,1\n" for day in (1, 2))
    (tmp_path / "days.csv").write_text("symbol,date,open,high,low,close,volume\n" + rows)
    fpa("ingest", "days.csv", "--interval", "1d", "--covers", "2024-05-01..2024-05-04")
    (entry,) = results(fpa("coverage", "--json"))
    assert ("files", "2024-05-01T00:00:00Z", "2024-05-04T00:00:00Z", 2) == (
        entry["source"],
        entry["start"],
        entry["end"],
        entry["rows"],
    )
    whole = ["alpaca", "AAPL", "--start", "2024-05-01", "--end", "2024-05-06"]
    (gap,) = results(fpa("gaps", *whole, "--json"))
    assert "2024-05-01T00:00:00Z" == gap["start"]
    (gap,) = results(fpa("gaps", *whole, "--also", "files*", "--json"))
    assert ("2024-05-04T00:00:00Z", "2024-05-06T00:00:00Z") == (gap["start"], gap["end"])
    fpa("history", *whole, "--also", "files*")
    assert ["2024-05-04T04:00:00Z"] == [query["start"] for _, query in server.requests]
    (tmp_path / "other.csv").write_text("")
    for wrong in (["--covers", "2024-05-01"], ["--covers", "..2024-05-01"], ["--via", "alpaca", "--covers", "a..b"]):
        fpa("ingest", "days.csv", *wrong, expect=2)
    fpa("ingest", "days.csv", "other.csv", "--covers", "2024-05-01..2024-05-04", expect=2)


def test_canary_keys(server: AlpacaServer, fpa: Fpa, begin: Any, tmp_path: Path) -> None:
    """Key and secret appear in no output at DEBUG: not of what works, nor of refusals that repeat them, nor of a traceback, nor of the list of processes."""
    server.account = {"account_number": "PA1", "currency": "USD", "cash": "1", "equity": "1"}
    repeated = Fault(403, json.dumps({"message": f"the key {KEY} with the secret {SECRET} is refused"}))
    shown = [fpa("--log-level", "debug", "sync", "alpaca")]
    for command in (["sync", "alpaca"], ["history", "alpaca", "AAPL", "--start", "2024-05-01"]):
        server.faults.append(repeated)
        shown.append(fpa("--log-level", "debug", *command, expect=10))
        assert "is refused" in shown[-1].stderr
    shown.append(fpa("--log-level", "debug", "config", "show"))
    server.refuse.append((402, f"auth failed for {KEY} {SECRET}"))
    server.fixed = "not JSON"
    shown.append(fpa("--log-level", "debug", "sync", "alpaca", expect=10))
    server.fixed = None
    process = begin("--log-level", "debug", "stream", "alpaca", "--orders")
    server.wait_for_subscription(timeout=60)
    if sys.platform == "linux":
        assert SECRET not in Path(f"/proc/{process.pid}/cmdline").read_text()
    server.send_trading({"stream": "error", "data": {"key": KEY, "secret": SECRET}})
    server.drop()
    server.wait_for_subscription(2, timeout=60)
    process.terminate()
    out, error = process.communicate(timeout=60)
    assert "the stream of orders says" in error
    for text in (out, error, *(result.output for result in shown), *(result.stderr for result in shown)):
        assert KEY not in text
        assert SECRET not in text
    with fpa_core.open(tmp_path / "fpa.toml", environ={"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}) as data:
        texts = [repr(data), repr(data.config), repr(data.sources)]
    for text in texts:
        assert SECRET not in text

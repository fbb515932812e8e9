"""A stranger's source and format: installed with pip in an environment of their own, read from in Python and on the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fpa_core
from fpa_core.models import Bar

RECORDS = """\
from attrs import frozen
from fpa_core import Bar, hookimpl
from fpa_core.numbers import Instant

DAY = 86_400 * 10**9

@frozen
class Options:
    price: str = "10.50"

@frozen
class Source:
    options: Options
    capabilities = frozenset()

    def read(self, request):
        for time in range(request.start, request.end, DAY):
            yield Bar(request.target, Instant(time), None, None, None, self.options.price, "7", "1d")

@hookimpl
def fpa_register_sources(register):
    register("mysource", Source, Options)
"""
"""A source that yields plain records."""

CHUNKS = RECORDS.replace("from fpa_core.numbers import Instant\n", "from fpa_core.numbers import Instant\nSETUP\n")
CHUNKS = CHUNKS.replace(
    "SETUP",
    "from fpa_core.arrow.conversion import to_table\nfrom fpa_core.protocols import Chunk\nfrom fpa_core.kinds import BARS",
).replace(
    """        for time in range(request.start, request.end, DAY):
            yield Bar(request.target, Instant(time), None, None, None, self.options.price, "7", "1d")
""",
    """        times = map(Instant, range(request.start, request.end, DAY))
        bars = [Bar(request.target, time, None, None, None, self.options.price, "7", "1d") for time in times]
        yield Chunk(BARS, to_table(BARS, bars), range(1, len(bars) + 1))
""",
)
"""The same, in chunks."""

FORMAT = """\
from fpa_core import hookimpl
from fpa_core.formats import Format, Match

ACME = Format(
    kind="trades",
    columns={"symbol": "sym", "timestamp": "when_ms", "price": "px_cents", "size": "n"},
    complete=True,
    time_unit="ms",
    scale="0.01",
    match=Match(columns=("sym", "when_ms", "px_cents", "n")),
)

@hookimpl
def fpa_register_formats(register):
    register("acme.trades", ACME, "Acme: trades in cents")
"""
"""A format of another vendor."""

TRADES = "sym,when_ms,px_cents,n\nA,1714570200123,12345,5\n"
EXPECTED = [Bar("AAPL", f"2024-05-0{day}T00:00Z", None, None, None, "10.5", "7", "1d") for day in (1, 2)]

METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: acme-data\nVersion: 1.2.3\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[fpa]\nacme = acme_data\n",
}

Fpa = Callable[..., subprocess.CompletedProcess[str]]


def wheel_of(source: str, folder: Path) -> Path:
    """Make the wheel of a distribution with one module."""
    wheel = folder / "acme_data-1.2.3-py3-none-any.whl"
    files = {"acme_data.py": source} | {f"acme_data-1.2.3.dist-info/{name}": text for name, text in METADATA.items()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("acme_data-1.2.3.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    return wheel


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a fresh virtual environment, which sees the packages of this one, and return its Python."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip())
    here = [path for path in sys.path if path and Path(path).is_dir()] + [str(Path(fpa_core.__file__).parents[1])]
    (site / "surroundings.pth").write_text("".join(f"{path}\n" for path in here))
    return python


@pytest.fixture
def python(environment: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Fpa:
    """Install the module that the test names with pip, and run Python in the environment, in a folder of its own."""
    pytest.importorskip("pip")
    pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "--quiet", "--no-deps", "--no-index"]
    wheel = wheel_of(request.param, tmp_path)
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True, capture_output=True, timeout=120)

    def run(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(environment), *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert expect == done.returncode, done.stdout + done.stderr
        return done

    return run


def stored(tmp_path: Path, kind: str) -> list[Any]:
    """Return what the environment has stored."""
    with fpa_core.open(tmp_path / "fpa.toml") as data:
        return list(data.select(kind))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fpa.toml").write_text("")


def test_the_source_is_short() -> None:
    """A source of one's own takes about 20 lines, of which half are its options and imports."""
    assert len([line for line in RECORDS.splitlines() if line]) <= 20


@pytest.mark.parametrize("python", [RECORDS, CHUNKS], ids=["records", "chunks"], indirect=True)
def test_an_installed_source(python: Fpa, tmp_path: Path) -> None:
    """A source is read from as soon as it is installed: in Python, and on the command line, where the same rows add nothing."""
    program = (
        "import fpa_core\n"
        "with fpa_core.open() as data:\n"
        "    receipt = data.ingest('AAPL', via='mysource', start='2024-05-01', end='2024-05-03')\n"
        "    print(receipt.inserted, receipt.origin)\n"
    )
    assert "2 mysource\n" == python("-c", program).stdout
    assert EXPECTED == stored(tmp_path, "bars")
    command = ["-m", "fpa_core", "ingest", "--via", "mysource", "--start", "2024-05-01", "--json"]
    receipt = json.loads(python(*command, "AAPL", "--end", "2024-05-04").stdout)["summary"]
    assert (3, 1, 2) == (receipt["read"], receipt["inserted"], receipt["duplicate"])
    assert 2 == json.loads(python(*command, "MSFT", "--end", "2024-05-03").stdout)["summary"]["inserted"]


@pytest.mark.parametrize("python", [FORMAT], ids=["format"], indirect=True)
def test_an_installed_format(python: Fpa, tmp_path: Path) -> None:
    """A format is recognised as soon as it is installed, listed, and named in the receipt."""
    (tmp_path / "trades.csv").write_text(TRADES)
    assert re.search(
        r"^acme\.trades +.*Acme: trades in cents", python("-m", "fpa_core", "formats").stdout, re.MULTILINE
    )
    (receipt,) = json.loads(python("-m", "fpa_core", "ingest", "trades.csv", "--json").stdout)["results"]
    assert (1, 0) == (receipt["inserted"], receipt["quarantined"])
    assert receipt["notes"][0].startswith("read as acme.trades")
    (trade,) = stored(tmp_path, "trades")
    assert ("A", "123.45", "5") == (trade.symbol, str(trade.price), str(trade.size))

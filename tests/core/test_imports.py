"""What importing costs and what it must not load; each question is put to a fresh interpreter."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import fpa_core
import fpa_plugins

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = {"apsw", "diskcache", "psycopg", "redis"}
PLUGINS = sorted(
    f"{package.name}.plugin"
    for package in pkgutil.iter_modules(fpa_plugins.__path__, "fpa_plugins.")
    if package.ispkg and find_spec(f"{package.name}.plugin")
)


def loaded_by(code: str) -> set[str]:
    """Run *code* in a fresh interpreter and return the modules it has loaded then, with the packages they are in."""
    asked = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    names = json.loads(ran.stdout)
    return {*names, *(name.partition(".")[0] for name in names)}


def test_importing_the_package_is_cheap():
    """Importing the package loads nothing heavy, and none of its own modules."""
    loaded = loaded_by("import fpa_core")
    assert not loaded & {"pyarrow", "numpy", "cattrs", "click", "attrs", "pluggy", "rich", "fpa_plugins", *DRIVERS}
    assert {"fpa_core"} == {name for name in loaded if name.partition(".")[0] == "fpa_core"}


def test_the_kits_load_with_the_tests_alone():
    """Neither the public names nor the command load the conformance kits, pytest or Hypothesis."""
    loaded = loaded_by(
        "import fpa_core, fpa_core.cli.main, fpa_core.plugins\nfor name in fpa_core.__all__: getattr(fpa_core, name)"
    )
    assert not loaded & {"fpa_core.testing", "pytest", "hypothesis"}
    assert not loaded_by("import fpa_core.testing") & {"fpa_plugins", *DRIVERS}


def test_public_names_load_no_plugin_and_no_driver():
    """Using every public name loads no plugin and no driver: the framework knows neither."""
    loaded = loaded_by("import fpa_core\nfor name in fpa_core.__all__: getattr(fpa_core, name)")
    assert not loaded & {"fpa_plugins", *DRIVERS}


def test_records_need_no_arrow():
    """Making records and errors needs neither Arrow nor numpy."""
    loaded = loaded_by("import fpa_core\nfpa_core.Quote('A', 10**18, '1.5', 2).mid\nimport fpa_core.kinds")
    assert not loaded & {"pyarrow", "numpy", "cattrs", "click", "fpa_plugins", *DRIVERS}


def loaded_by_command(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Run a command beside a small database in a fresh interpreter, and return the modules it has loaded."""
    monkeypatch.setenv("FPA_STORE__PATH", str(folder / "portfolio.db"))
    with fpa_core.open(folder / "portfolio.db") as data:
        data.store.save(fpa_core.Quote("A", 10**18, 1, 2))
    return loaded_by(
        f"import contextlib, io\nfrom fpa_core.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    try: main({command.split()})\n    except SystemExit as end: assert not end.code"
    )


@pytest.mark.parametrize("command", ["plugins", "rules", "config check"])
def test_commands_that_need_no_arrow_load_none(command, tmp_path, monkeypatch):
    """Lists of plugins and of rules, and the check of the configuration, start without Arrow and numpy."""
    assert not loaded_by_command(command, tmp_path, monkeypatch) & {"pyarrow", "numpy", "pandas", "polars"}


@pytest.mark.parametrize(
    ("command", "most"),
    [("--help", 8), ("config show", 88), ("batches", 167), ("inventory", 173)],
)
def test_commands_load_only_what_they_need(command, most, tmp_path, monkeypatch):
    """What says something of the database or of the configuration loads no rule, no format, no event loop, and few modules of ours."""
    loaded = loaded_by_command(command, tmp_path, monkeypatch)
    assert not loaded & {"pyarrow", "numpy", "pandas", "polars", "asyncio", "ssl", "rich"}
    assert not loaded & {"fpa_plugins.rules.catalog", "fpa_plugins.files.vendors", "fpa_core.validator.engine"}
    ours = {name for name in loaded if name.startswith(("fpa_core.", "fpa_plugins."))}
    assert len(ours) <= most


def test_plugins_load_no_driver_until_used():
    """The modules of all plugins' hooks load neither a driver nor Arrow; these wait until a backend is made."""
    loaded = loaded_by(f"import {', '.join(PLUGINS)}")
    assert set(PLUGINS) <= loaded
    assert not loaded & {"pyarrow", "numpy", "pandas", "polars", *DRIVERS}


def test_every_shipped_plugin_is_looked_at():
    """The plugins in the box are found by this test's search."""
    assert {f"fpa_plugins.{name}.plugin" for name in ("disk", "files", "memory", "rules", "sqlite")} <= set(PLUGINS)


def modules_of_the_house() -> dict[str, Path]:
    """Return our modules by name."""
    files = (path for package in ("fpa_core", "fpa_plugins") for path in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported_by(module: str, modules: dict[str, Path]) -> set[str]:
    """Return which of *modules* a module imports anywhere: at its top, for type checkers alone, or in a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(modules[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= inner & modules.keys() or {node.module}
    return found & modules.keys() - {module}


def test_no_modules_import_each_other():
    """No circle of modules imports itself, not even through imports for type checkers alone or in functions."""
    modules = modules_of_the_house()
    assert len(modules) > 400
    TopologicalSorter({name: imported_by(name, modules) for name in modules}).prepare()


@pytest.mark.parametrize("name", fpa_core.__all__)
def test_public_names_are_there_and_explained(name):
    """Every public name resolves, stays what it is, and has a docstring of its own."""
    value = getattr(fpa_core, name)
    assert value is getattr(fpa_core, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        assert value.__dict__["__doc__"]
        assert (name, True) == (value.__name__, value.__module__.startswith("fpa_core."))


def test_public_names_are_listed():
    """The public names are sorted, unique, and what dir() and a star import offer."""
    assert sorted(set(fpa_core.__all__)) == fpa_core.__all__
    assert set(fpa_core.__all__) <= set(dir(fpa_core))
    offered: dict[str, object] = {}
    exec("from fpa_core import *", offered)
    assert set(fpa_core.__all__) == set(offered) - {"__builtins__"}
    assert "open" in dir(fpa_core)
    assert "open" not in offered, "a star import must not hide Python's own"


def test_type_checkers_see_the_public_names():
    """The imports that type checkers read name what is public, no more and no less."""
    tree = ast.parse(Path(inspect.getfile(fpa_core)).read_text(encoding="utf-8"))
    (unseen,) = (node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" == ast.unparse(node.test))
    seen = {alias.name for node in unseen.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assigned = [ast.unparse(node) for node in unseen.body if isinstance(node, ast.Assign)]
    assert ({*fpa_core.__all__, "open_layer"}, ["open = open_layer"]) == (seen, assigned)


@pytest.mark.parametrize("name", ["Quotes", "quote", "__path", "store_", "_HOME"])
def test_unknown_names(name):
    """A name that is not there is an AttributeError, as for any module."""
    with pytest.raises(AttributeError, match=f"module 'fpa_core' has no attribute '{name}'"):
        getattr(fpa_core, name)
    assert not hasattr(fpa_core, name)


def test_imports_point_down():
    """The contracts between the floors of the house hold."""
    if find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


def test_sniffing_does_not_import_pandas(tmp_path):
    """Looking at a file leaves pandas alone, which Arrow would import; a frame can be made afterwards."""
    pytest.importorskip("pandas")
    path = tmp_path / "t.csv"
    path.write_text("symbol,timestamp,price,size\nA,2024-05-01T14:30:00Z,1,1\n", "utf-8")
    sniffing = f"""
import contextlib, io
from fpa_core.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["sniff", {str(path)!r}])
"""
    assert not loaded_by(sniffing) & {"pandas"}
    framing = "import pyarrow as pa\nassert len(pa.table({'a': [1]}).to_pandas()) == 1"
    assert {"pandas", "pyarrow"} <= loaded_by(sniffing + framing)

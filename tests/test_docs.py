"""The documentation is complete, its links lead somewhere, and everything it shows runs as it says."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from docpages import ROOT, Session, anchors, blocks, links, pages, without_code

import fpa_core
from fpa_core import config, formats, hookspecs
from fpa_core.cache import CacheStats
from fpa_core.cli.app import EXIT_CODES, INTERRUPTED, NOTHING_STORED
from fpa_core.cli.main import cli
from fpa_core.kinds import KINDS
from fpa_core.plugins import PluginManager
from fpa_core.store import Selection
from fpa_plugins.sqlite.plugin import SqliteOptions, open_store

PAGES = [page for page in pages() if page.name != "README.md"]
REFERENCE = ROOT / "docs" / "reference"
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def section(page: str, heading: str) -> str:
    """Return the text below a heading of a page of the reference, up to the next heading of its level or a higher one."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match is not None, f"{page} has no heading {heading!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    """Load the plugins that ship with the project, whatever else is installed."""
    from importlib.metadata import distribution

    own = [point for point in distribution("financial-portfolio-automation").entry_points if point.group == "fpa"]
    return PluginManager(entry_points=own, strict=True)


# What the pages show


@pytest.fixture
def session_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Session]]:
    """Make somebody who follows a page; what they import from it is forgotten afterwards."""
    known = set(sys.modules)

    def add(path: str) -> None:
        monkeypatch.syspath_prepend(path)
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield lambda page: Session(page, tmp_path, monkeypatch.setenv, add)
    for name in set(sys.modules) - known:
        origin = getattr(sys.modules[name], "__file__", None)
        if origin and (not Path(origin).is_absolute() or Path(origin).is_relative_to(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language in {"python", "console"} for block in blocks(page))],
    ids=name_of,
)
def test_a_page_does_what_it_shows(page: Path, session_of: Callable[[Path], Session]):
    """Following a page from top to bottom works, and gives the output that it shows."""
    session_of(page).follow()


@pytest.mark.parametrize("script", EXAMPLES, ids=name_of)
def test_an_example_runs(script: Path, tmp_path: Path):
    """An example runs from any folder, says something, and leaves nothing behind."""
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    """Every relative link of a page names a file that is there, and its anchor a heading in it."""
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert [] == broken


def test_every_page_is_on_the_map():
    """The index of the documentation links to every page."""
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set() == set((ROOT / "docs").rglob("*.md")) - linked - {index}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_are_there(page: Path):
    """A path of the project that stands in the text of a page is there."""
    named = re.findall(r"`((?:fpa_core|fpa_plugins|tests|docs|benchmarks|examples|\.ci)/[\w/.-]+)`", without_code(page))
    assert [] == [path for path in named if "NNNN" not in path and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_can_be_read(page: Path):
    """A block of TOML is valid TOML."""
    for block in blocks(page):
        if block.language == "toml":
            tomllib.loads(block.body)


def test_the_floors_are_those_that_are_held():
    """The drawing of the architecture has the layers of the import contract, in their order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    page = ROOT / "docs/explanation/architecture.md"
    drawing = next(block.body for block in blocks(page) if block.body.startswith("cli "))
    drawn = [re.split(r" {2,}", line)[0] for line in drawing.splitlines()]
    assert next(contract["layers"] for contract in contracts if contract["type"] == "layers") == drawn


def test_fields_of_records_are_listed_for_authors_of_rules():
    """The page for authors of rules has every field of every kind, with the name of its column where that differs."""
    text = (ROOT / "docs/reference/rule-authoring.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        fields = [f"`{c.field}`" + (f" → `{c.name}`" if c.field != c.name else "") for c in kind.columns]
        assert f"| `{kind.name}` | {', '.join(fields)} |" in text


def test_dependencies_are_explained():
    """Each runtime dependency has a row among the decisions, and there is no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "docs/explanation/decisions.md").read_text(encoding="utf-8")
    table = text.split("| package | for | why this one |\n|---|---|---|\n")[1].split("\n\n")[0]
    names = sorted(line.split(" | ")[0].strip("| ") for line in table.splitlines())
    assert sorted(re.split(r"[<>=]", each)[0] for each in project["dependencies"]) == names


# Hooks


HOOKS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{hookspecs.GROUP}_spec")}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented(hook: str):
    """Each hook has a section, with its signature word for word; and the page begins with a list of all."""
    signature = f"`{hook}({', '.join(inspect.signature(HOOKS[hook]).parameters)})`"
    assert section("hooks.md", hook).strip().startswith(signature)
    assert f"[{signature}](#{hook})" in (REFERENCE / "hooks.md").read_text(encoding="utf-8")


def test_no_hook_is_documented_that_is_none():
    """The page names no hook that is not there."""
    named = re.findall(r"fpa_[a-z_]+(?=\()", (REFERENCE / "hooks.md").read_text(encoding="utf-8"))
    assert set() == set(named) - set(HOOKS)


# The command line


def commands(group: click.Group, path: str = "fpa") -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{path} {name}")
                if not command.invoke_without_command:
                    continue
            yield f"{path} {name}", command


def built_in() -> dict[str, click.Command]:
    return {path: command for path, command in commands(cli) if command.callback is not None}


@pytest.mark.parametrize("path", built_in())
def test_a_command_and_its_options_are_documented(path: str):
    """Each command has a section that names every option in every spelling, every argument, and the defaults that are shown."""
    text = section("cli.md", path)
    for parameter in built_in()[path].params:
        if isinstance(parameter, click.Option):
            for spelling in (*parameter.opts, *parameter.secondary_opts):
                assert re.search(rf"`{re.escape(spelling)}[` ]", text), f"{path} {spelling}"
            if parameter.show_default:
                assert (
                    f"{parameter.default:,}" in text
                    if isinstance(parameter.default, int)
                    else f"`{parameter.default}`" in text
                )
    documented = set(re.findall(r"^\| `(--[a-z-]+)|, `(--[a-z-]+)", text, re.MULTILINE))
    known = {each for parameter in built_in()[path].params for each in (*parameter.opts, *parameter.secondary_opts)}
    assert {one or other for one, other in documented} <= known


def test_global_options_are_documented():
    """The options of ``fpa`` itself are listed."""
    text = section("cli.md", "Global options")
    with click.Context(cli, **cli.context_settings) as ctx:
        spellings = [spelling for parameter in cli.get_params(ctx) for spelling in parameter.opts]
    assert [] == [spelling for spelling in spellings if f"`{spelling}" not in text]


def test_exit_codes_are_documented():
    """The table of exit codes has those there are, and no other, on both pages that show it."""
    codes = {0, 1, 2, *EXIT_CODES.values(), NOTHING_STORED, INTERRUPTED}
    for page in (REFERENCE / "cli.md", ROOT / "docs/how-to/run-in-production.md"):
        table = page.read_text(encoding="utf-8").split("| code | meaning |\n|---|---|\n")[1].split("\n\n")[0]
        assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


# The configuration


def shown(value: Any) -> str:
    """Write a default as the page does."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}` s"
    if isinstance(value, int):
        return f"`{value}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f'`"{value}"`'


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of the tables in *text* by the code in their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("` |"): row for row in cells}


def settings_of(cls: type[Any]) -> dict[str, Any]:
    return {attribute.alias: attribute.default for attribute in attrs.fields(cls) if attribute.init}


SECTIONS = {"plugins": config.PluginsSection, "logging": config.LoggingSection, "audit": config.AuditSection}


def test_retention_is_documented():
    """Each key of each table of the section has a row with its default."""
    text = section("configuration.md", "retention")
    first, ticks, bars = re.split(r"^`\[retention\..*:$", text, flags=re.MULTILINE)
    for cls, table in ((config.TickRetention, rows(ticks)), (config.BarRetention, rows(bars))):
        assert settings_of(cls).keys() == table.keys()
        for key, default in settings_of(cls).items():
            assert (shown(default) if key != "keep" else '`"forever"`') == table[key][2], key
    own = settings_of(config.RetentionSection)
    assert [shown(own[key]) for key in ("archive", "hold")] == [rows(first)[key][2] for key in ("archive", "hold")]
    assert {"archive", "hold"} | set(
        re.findall(r"`(\w+)`", re.findall(r"^\|(.*)\| tables", first, re.MULTILINE)[0])
    ) == own.keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_documented(name: str):
    """Each key of the section has a row with its default."""
    table = rows(section("configuration.md", name))
    assert settings_of(SECTIONS[name]).keys() == table.keys()
    for key, default in settings_of(SECTIONS[name]).items():
        assert shown(default) == table[key][2], key


@pytest.mark.parametrize(
    ("name", "cls"),
    [("store", config.Section), ("cache", config.CacheSection), ("validator", config.ValidatorSection)],
)
def test_a_section_with_a_backend_is_documented(name: str, cls: type[Any], plugins: PluginManager):
    """Each key of core, and below it each option of each built-in backend, has a row with its default, and there are no others."""
    first, *rest = re.split(r'^With `backend = "([a-z]+)"`:$', section("configuration.md", name), flags=re.MULTILINE)
    core = [key for key in settings_of(cls) if key != "options"]
    assert core == list(rows(first))
    assert shown(settings_of(cls)["backend"]) == rows(first)["backend"][2]
    documented = dict(zip(rest[::2], rest[1::2], strict=True))
    registry = {"store": plugins.stores, "cache": plugins.caches, "validator": plugins.validators}[name]
    for backend, options in registry.options.items():
        expected = settings_of(options)
        table = rows(documented.pop(backend, ""))
        assert expected.keys() == table.keys(), backend
        for key, default in expected.items():
            assert shown(default) == table[key][2], f"{backend}.{key}"
    assert {} == documented


def test_sources_are_documented(plugins: PluginManager):
    """Each option of a source has a row with its default."""
    text = section("configuration.md", "sources")
    _, *rest = re.split(r'^With `backend = "([a-z]+)"`.*:$', text, flags=re.MULTILINE)
    documented = dict(zip(rest[::2], rest[1::2], strict=True))
    for name, options in plugins.sources.options.items():
        assert f"`{name}`" in text or name in documented
        table = rows(documented.pop(name, ""))
        assert settings_of(options).keys() == table.keys()
        for key, default in settings_of(options).items():
            expected = "none" if isinstance(default, attrs.Factory) else shown(default)
            assert expected == table[key][2], f"{name}.{key}"
    assert {} == documented


def test_lakes_are_documented(plugins: PluginManager):
    """Each key of a lake has a row with its default, and there are no others."""
    first, *rest = re.split(r'^With `backend = "([a-z]+)"`:$', section("configuration.md", "lakes"), flags=re.MULTILINE)
    assert ["backend"] == list(rows(first))
    documented = dict(zip(rest[::2], rest[1::2], strict=True))
    for name, options in plugins.lakes.options.items():
        table = rows(documented.pop(name))
        assert settings_of(options).keys() == table.keys()
        for key, default in settings_of(options).items():
            assert (shown(default) if not isinstance(default, attrs.Factory) else "`{}`") == table[key][2], key
    assert {} == documented


def test_the_template_has_every_key(plugins: PluginManager):
    """The commented file that ``fpa init`` writes mentions every key that the reference does of sections and default backends."""
    text = config.template()
    keys = {"ttl", "namespace", "level", "strict", "block", "required", "format", "file"}
    keys |= settings_of(plugins.stores.options["sqlite"]).keys() | settings_of(plugins.caches.options["memory"]).keys()
    assert set() == {key for key in keys if not re.search(rf"^(# )?{key} = ", text, re.MULTILINE)}


# Rules


def test_every_rule_is_documented(plugins: PluginManager):
    """Each rule has a section that begins with its group, names each parameter and its default, and has a good and a bad example."""
    groups = {
        "Informs": "INFO", "Flags": "FLAG", "Warns": "WARN", "Refuses": "ERROR", "Suspects": "STATISTICAL", "On request": "OPT_IN",
    }  # fmt: skip
    from fpa_core import validator

    for rule, cls in plugins.rules.options.items():
        text = section("rules.md", rule)
        group, _, rest = text.strip().partition(". ")
        assert getattr(validator, groups[group]) == cls.levels, rule
        assert "Good" in rest, rule
        assert "Bad" in rest, rule
        table = rows(text)
        expected = {parameter.name: getattr(cls(), parameter.name) for parameter in cls.parameters()}
        assert expected.keys() == table.keys(), rule
        for name, default in expected.items():
            assert described(default) in table[name][1], f"{rule}.{name}"


def described(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, tuple):
        return ", ".join(
            f"`[{', '.join(map(str, item))}]`" if isinstance(item, tuple) else f"`{item}`" for item in default
        )
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_no_rule_is_documented_that_is_none(plugins: PluginManager):
    """Headings that look like rules are rules."""
    headings = re.findall(
        r"^### ([a-z_]+\.[a-z_]+)$", (REFERENCE / "rules.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(headings) == sorted(plugins.rules)


# Python


def test_every_public_name_is_documented():
    """Each public name is a heading of the pages on Python or models, or a row of the table of exceptions."""
    headings = {
        heading
        for page in ("python.md", "models.md")
        for heading in re.findall(r"^#+ (\w+)$", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)
    }
    exceptions = section("python.md", "Exceptions")
    missing = [name for name in fpa_core.__all__ if name not in headings and f"`{name}`" not in exceptions]
    assert [] == missing


def test_every_exception_is_documented():
    """All errors of the project, and what they carry, are in the table of exceptions."""
    from fpa_core import exceptions

    text = section("python.md", "Exceptions")
    for name in exceptions.__all__:
        assert f"`{name}`" in text
        for attribute in set(inspect.signature(getattr(exceptions, name)).parameters) - {"message", "hint"}:
            assert f"`{attribute}`" in text, f"{name}.{attribute}"


PUBLIC = {
    "DataLayer": (fpa_core.DataLayer, set()),
    "DataStore": (fpa_core.DataStore, set()),
    "Selection": (Selection, {"rows", "query", "freshness"}),
    "DataCache": (fpa_core.DataCache, set()),
    "DataValidator": (fpa_core.DataValidator, set()),
    "ValidationResult": (fpa_core.ValidationResult, set()),
    "Receipt": (fpa_core.Receipt, set()),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_class_is_documented(name: str):
    """Every public member of the class is in its section."""
    cls, internal = PUBLIC[name]
    text = section("python.md", name)
    members = {member for member in dir(cls) if not member.startswith("_")} - internal
    assert set() == {member for member in members if not re.search(rf"`{member}\b|`\S* in cache`.*\b{member}\b", text)}


def test_statistics_are_documented():
    """Every figure of the cache's statistics is named."""
    text = section("python.md", "CacheStats")
    figures = [attribute.name for attribute in attrs.fields(CacheStats)] + ["misses", "hit_rate"]
    assert [] == [figure for figure in figures if f"`{figure}`" not in text]


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_model_is_documented(kind: Any):
    """Each field of a record has a row, in order, with its name as an argument; times name their attribute."""
    table = rows(section("models.md", kind.record.__name__))
    assert [attribute.alias for attribute in attrs.fields(kind.record)] == list(table)
    for attribute in attrs.fields(kind.record):
        assert attribute.alias == attribute.name or f"`{attribute.name}`" in table[attribute.alias][1]


@pytest.mark.parametrize(
    ("heading", "cls"), [("Keys of a format", formats.Format), ("match", formats.Match)], ids=["Format", "Match"]
)
def test_a_format_is_documented(heading: str, cls: type[Any]):
    """Each part of a format, and of how it is recognised, has a row, and there are no others."""
    assert settings_of(cls).keys() == rows(section("file-formats.md", heading).split("#### match")[0]).keys()


@pytest.mark.parametrize(
    "word", ["Side", "PositionSide", "OrderType", "OrderStatus", "TimeInForce", "CashFlowType", "CorporateActionType"]
)
def test_a_word_is_documented(word: str):
    """Each member of an enumeration is listed."""
    text = section("models.md", word)
    assert [] == [str(member) for member in getattr(fpa_core, word) if f"`{member}`" not in text]


# The database


def test_the_database_is_documented(tmp_path: Path):
    """Every table and its key, every column that is no field, and the marks in the file's header are on the page; its SQL is valid."""
    store = open_store(SqliteOptions(path=tmp_path / "test.db"))
    store.close()
    import sqlite3

    connection = sqlite3.connect(tmp_path / "test.db")
    text = (REFERENCE / "database.md").read_text(encoding="utf-8")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        if table in KINDS:
            key = ", ".join(row[1] for row in sorted((row for row in columns if row[5]), key=lambda row: row[5]))
            assert f"| `{table}` | `{key}` |" in text
        elif not table.endswith("_history"):  # the same columns, and two that are told of under History
            own = section("database.md", table)
            assert [] == [row[1] for row in columns if f"`{row[1]}`" not in own], table
    for block in blocks(REFERENCE / "database.md"):
        if block.language == "sql":
            connection.execute(block.body)
    assert f"`{hex(connection.execute('PRAGMA application_id').fetchone()[0])}`" in text
    assert 16 * 1024 == connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()


def test_synonyms_are_documented():
    """Every other name of a column is on the page about files, in the row of its kind and field."""
    from fpa_plugins.files.vocabulary import synonyms

    text = section("file-formats.md", "Columns and their names")
    rows_of: dict[tuple[str, str], set[str]] = {}
    kinds: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            kinds = cells[0].split(", ") if cells[0] else kinds
            for name in kinds:
                for field in re.findall(r"`(\w+)`", cells[1]):
                    rows_of.setdefault((name, field), set()).update(re.findall(r"\w+", cells[2]))
    for kind in KINDS.values():
        for field, words in synonyms(kind).items():
            own = {field, kind.by_name[field].field}
            named = rows_of.get((kind.name, field), set()) | rows_of.get(("all", field), set())
            assert set() == set(words) - own - named, f"{kind.name}.{field}"

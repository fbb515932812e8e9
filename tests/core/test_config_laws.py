"""Laws of the configuration: of merging, of lines, and that no text whatever leads to an untyped error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from fpa_core.config import Config, load, settings, structure
from fpa_core.config.finder import key_lines
from fpa_core.config.merger import merge, paths
from fpa_core.config.problems import key_text
from fpa_core.exceptions import ConfigError

KEYS = st.sampled_from(["backend", "path", "a b", 'q"k', "cache", "x", "é", "env", "prod", "ttl", "rules", ""])
LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["${X}", "$${X}", "${}", "5m", "sqlite", "disk", "never", '"""', "[x]", "a # b"]),
    st.datetimes(),
    st.dates(),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)
SECTIONS = st.sampled_from(["store", "cache", "validator", "plugins", "logging", "sources", "env", "stor"])
DOCUMENTS = st.dictionaries(SECTIONS, VALUES | TABLES, max_size=5)


@attrs.frozen
class Options:
    """Options with a few types."""

    path: Path = Path("x.db")
    x: int | None = None
    cache: tuple[float, ...] = ()


REGISTRIES: dict[str, Any] = {
    "stores": {"sqlite": Options},
    "caches": {"memory": Options, "disk": Options},
    "validators": {"rules": Options},
    "sources": {"x": Options},
    "rules": {"x": Options},
}


def leaves(table: dict[str, Any]) -> dict[tuple[Any, ...], Any]:
    """Return what is no table, by path."""
    return {path: value for path, value in paths(table) if not isinstance(value, dict)}


@given(TABLES)
def test_merging_has_an_identity_and_is_idempotent(table):
    """Nothing upon a table, a table upon nothing, and a table upon itself are the table."""
    assert repr(merge(table, {})) == repr(merge({}, table)) == repr(table)
    assert sorted(map(repr, leaves(merge(table, table)).items())) == sorted(map(repr, leaves(table).items()))


@given(TABLES, TABLES)
def test_an_overlay_wins_and_leaves_the_rest(base, overlay):
    """Every value of the overlay holds; every value of the base that the overlay does not touch still does."""
    merged, above = leaves(merge(base, overlay)), leaves(overlay)
    for path, value in above.items():
        assert merged[path] is value
    touched = {path for path, _ in paths(overlay)}
    for path, value in leaves(base).items():
        if not any(path[:n] in above for n in range(1, len(path) + 1)) and path not in touched:
            assert merged[path] is value


@given(TABLES, TABLES)
def test_merging_changes_neither_side(base, overlay):
    """The tables that go in stay as they were."""
    before = repr((base, overlay))
    merge(base, overlay)
    assert repr((base, overlay)) == before


@given(TABLES)
def test_every_key_of_a_written_file_has_its_line(table):
    """For each key outside of inline tables, the line found is one that holds the last part of the key."""
    text = tomli_w.dumps(table)
    found = key_lines(text)
    lines = text.split("\n")
    for path, line in found.items():
        assert key_text(path[-1:]) in lines[line - 1] or repr(path[-1]) in lines[line - 1]
    assert {path[:1] for path, _ in paths(table)} <= found.keys()


def test_lines_of_every_form_of_key():
    """Dotted, quoted, nested and repeated keys, after texts and lists that look like keys, are found."""
    text = '''# [not.a.table]
a.b = """
[no]
c = 1
""" # d = 2
"e.f" = ['g = 3', # [h]
  "]", { i = 4 },
]
[j."k.l"]
m = {n = 5}
[[o]]
p = 6
[[o]]
p = 7
'''
    assert tomllib.loads(text)
    assert {key_text(path): line for path, line in key_lines(text).items()} == {
        "a": 2,
        "a.b": 2,
        '"e.f"': 6,
        "j": 9,
        'j."k.l"': 9,
        'j."k.l".m': 10,
        "o": 11,
        "o.p": 12,
    }


def _typed(path: Path, env: str | None) -> None:
    outcome: Config | ConfigError
    try:
        outcome = structure(load(path, env, {"X": "canary", "FPA_STORE__X": "1"}), **REGISTRIES)
    except ConfigError as error:
        outcome = error
    if isinstance(outcome, ConfigError):
        assert outcome.problems
        assert "canary" not in str(outcome)
    else:
        assert isinstance(outcome, Config)
        assert all("canary" not in str(setting.value) for setting in settings(outcome))


@given(DOCUMENTS, st.sampled_from([None, "prod", "x"]))
def test_any_document_is_a_configuration_or_a_typed_error(tmp_path_factory, document, env):
    """Whatever valid TOML says, the outcome is a configuration or one ConfigError with its problems, and no secret in it."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    _typed(path, env)


@given(st.binary(max_size=60) | st.text(alphabet="[]{}=\"'.,#\n\\ abe1-:", max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_typed_error(tmp_path_factory, content):
    """Whatever bytes the file holds, nothing but a ConfigError comes of it."""
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    _typed(path, None)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_any_variable_is_a_value_or_a_typed_error(tmp_path_factory, text):
    """Whatever a variable holds, for a target of any type, nothing but a ConfigError comes of it."""
    path = tmp_path_factory.getbasetemp() / "empty.toml"
    path.write_bytes(b"")
    names = ("STORE__X", "STORE__CACHE", "STORE__PATH", "CACHE__TTL", "CACHE__BACKEND", "PLUGINS__STRICT", "SOURCES__X")
    for name in names:
        try:
            structure(load(path, environ={f"FPA_{name}": text}), **REGISTRIES)
        except ConfigError as error:
            assert f"FPA_{name}" in str(error)  # noqa: PT017 - an error is one of two right outcomes

"""The JSON Schema of fpa.toml: it accepts what the configuration accepts, and marks what it refuses."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import fpa_core
from fpa_core.cli.main import cli
from fpa_core.config import template

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def validator():
    """Return what checks values against the schema that the command prints."""
    result = CliRunner().invoke(cli, ["config", "schema"])
    assert 0 == result.exit_code
    found = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_the_template_is_valid(validator):
    """What ``fpa init`` writes is valid, and so is every default of a store that it writes out in comments."""
    validator.validate(tomllib.loads(template()))
    store = template().partition("\n[store]\n")[2].partition("\n[cache]\n")[0]
    whole = tomllib.loads("[store]\n" + re.sub(r"^# ([a-z_]+ = )", r"\1", store, flags=re.MULTILINE))
    assert len(whole["store"]) > len(tomllib.loads(template())["store"])
    validator.validate(whole)


VALID = [
    "",
    '[store]\npath = "${DATA}/x.db"\nbusy_timeout = 5',
    '[store]\nbackend = "memory"\nread_cache = "${CACHE}"',
    '[cache]\nbackend = ["memory", "disk"]\nttl = { quotes = "5s", default = "never" }\n[cache.disk]\npath = "c"',
    '[validator.rules."quote.spread"]\nmax_rel = "0.1"\noverrides = { SPY = { max_rel = 0.2 } }\nwhere = { symbol = "A*" }',
    '[validator.levels.mine]\nextends = "strict"\nrules = { "quote.*" = "off" }',
    '[plugins]\nblock = ["disk"]\n[logging]\nlevel = "DEBUG"\nformat = "json"',
    '[formats.desk]\nkind = "quotes"\ncolumns = { timestamp = ["Date", "Time"] }\nmatch = { columns = ["Bid"] }',
    '[env.prod.cache]\nbackend = "disk"',
]


@pytest.mark.parametrize("text", VALID)
def test_what_is_accepted_is_valid(validator, text, monkeypatch, tmp_path):
    """A file that the configuration accepts is valid by the schema."""
    monkeypatch.setenv("DATA", "data")
    monkeypatch.setenv("CACHE", "5")
    (tmp_path / "fpa.toml").write_text(text)
    fpa_core.open(tmp_path / "fpa.toml").close()
    validator.validate(tomllib.loads(text))


INVALID = [
    ("[stor]", ["$"]),
    ("[store]\npathh = 1", ["store"]),
    ('[store]\nbackend = "memory"\npath = "x"', ["store"]),
    ('[validator.rules."quote.spred"]\nmax_rel = 1', ["validator"]),
    ('[validator.rules."quote.spread"]\nmax_re = 1', ["validator"]),
    ('[logging]\nlevel = "LOUD"', ["logging", "level"]),
    ("[env.prod.cach]", ["env", "prod"]),
    ("[cache]\nttl = { candles = 5 }", ["cache"]),
]


@pytest.mark.parametrize(("text", "path"), INVALID)
def test_what_is_refused_is_marked(validator, text, path, tmp_path):
    """A file that the configuration refuses is invalid by the schema, in the section where the mistake is."""
    (tmp_path / "fpa.toml").write_text(text)
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "fpa.toml"), "config", "check"])
    assert isinstance(result.exception, fpa_core.ConfigError)
    found = [["$", *error.path][-len(error.path) or None :] for error in validator.iter_errors(tomllib.loads(text))]
    assert [path] == found


def test_keys_are_explained(validator):
    """Each key of the file has a description without markup, and its default."""
    store = next(each for each in validator.schema["$defs"]["store"]["anyOf"] if each["title"] == "backend sqlite")
    assert "portfolio.db" == store["properties"]["path"]["default"]
    for name, key in store["properties"].items():
        assert name == "backend" or key["description"]
        assert ":ivar" not in json.dumps(key)
        assert "``" not in json.dumps(key)

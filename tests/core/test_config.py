"""The configuration from file to typed sections: merging, origins, and all problems at once."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

import fpa_core
from fpa_core.config import (
    CacheSection,
    Config,
    Duration,
    LogFormat,
    Problem,
    Secret,
    Tree,
    closest_match,
    find,
    load,
    settings,
    structure,
    template,
)
from fpa_core.exceptions import ConfigError


class Sync(enum.Enum):
    """How hard a write is pressed onto the disk."""

    FULL = "full"
    OFF = "off"


@attrs.frozen
class Pool:
    """A nested table of options."""

    size: int = attrs.field(default=4, validator=attrs.validators.gt(0))
    wait: Duration = 5.0


@attrs.frozen
class Sqlite:
    """Options of a store on the disk."""

    path: Path = Path("portfolio.db")
    sync: Sync = Sync.FULL
    busy: Duration = 5.0


@attrs.frozen
class Postgres:
    """Options of a store on a server."""

    dsn: str
    pool: Pool = Pool()


@attrs.frozen
class Memory:
    """Options of a cache."""

    max_entries: int = 1000


@attrs.frozen
class Disk:
    """Options of another cache."""

    path: Path = Path("cache")


@attrs.frozen
class Nothing:
    """No options at all."""


@attrs.frozen
class Spread:
    """A rule with parameters."""

    id: ClassVar[str] = "quote.spread"
    kind: ClassVar[str] = "quotes"
    max_rel: Decimal | None = None
    symbols: tuple[str, ...] = ()
    per_symbol: Mapping[str, Decimal] = attrs.field(factory=dict)


REGISTRIES: dict[str, Any] = {
    "stores": {"sqlite": Sqlite, "postgres": Postgres},
    "caches": {"memory": Memory, "disk": Disk},
    "validators": {"rules": Nothing},
    "sources": {"files": Nothing},
    "rules": {"quote.spread": Spread},
}


def write(folder: Path, text: str) -> Path:
    """Put a configuration into *folder*."""
    path = folder / "fpa.toml"
    path.write_text(text, encoding="utf-8")
    return path


def build(folder: Path, text: str, env: str | None = None, **environ: str) -> Config:
    """Return the configuration of *text*."""
    return structure(load(write(folder, text), env, environ), **REGISTRIES)


def problems(folder: Path, text: str, env: str | None = None, **environ: str) -> list[Problem]:
    """Return the problems of *text*."""
    with pytest.raises(ConfigError) as caught:
        build(folder, text, env, **environ)
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)


def test_no_file_at_all_means_defaults(tmp_path, monkeypatch):
    """Without any fpa.toml there is an embedded store beside one, a cache in memory, and the standard level."""
    monkeypatch.chdir(tmp_path)
    config = structure(load(environ={}), **REGISTRIES)
    assert config.store.backend == "sqlite"
    assert config.store.options == Sqlite(path=tmp_path / "portfolio.db")
    assert config.cache == CacheSection(options=Memory())
    assert config.cache.ttl_of("quotes") == 300.0
    assert "standard" == config.validator.level
    assert (config.path, config.env, config.sources) == (None, None, {})


def test_the_file_is_found_in_a_folder_above(tmp_path, monkeypatch):
    """A command in a sub-folder uses the fpa.toml above it, and the paths in it stay relative to the file."""
    path = write(tmp_path, '[store]\npath = "data/x.db"\n')
    (deep := tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(deep)
    config = structure(load(environ={}), **REGISTRIES)
    assert config.path == path
    assert config.store.options.path == tmp_path / "data" / "x.db"
    assert find(deep) == path


def test_every_form_of_value(tmp_path):
    """Numbers, durations, enums, lists, nested tables and rule parameters all arrive in their types."""
    config = build(
        tmp_path,
        """
        store = { backend = "postgres", dsn = "host=db", pool = { size = 8, wait = "250ms" } }
        [cache]
        ttl = "never"
        [cache.disk]
        [validator]
        level = "strict"
        [validator.rules."quote.spread"]
        max_rel = "0.10"
        symbols = ["AAPL", "MSFT"]
        per_symbol.AAPL = 0.5
        [logging]
        level = "info"
        format = "json"
        file = "fpa.log"
        [plugins]
        block = ["disk"]
        [sources.files]
        [sources.fxcm]
        backend = "files"
        """.replace("[cache.disk]", ""),
    )
    assert config.store.options == Postgres("host=db", Pool(8, 0.25))
    assert config.cache.ttl == {"default": None}
    assert "strict" == config.validator.level
    assert config.validator.rules == {
        "quote.spread": Spread(Decimal("0.10"), ("AAPL", "MSFT"), {"AAPL": Decimal("0.5")})
    }
    assert config.logging.format is LogFormat.JSON
    assert config.logging.level == "INFO"
    assert config.logging.file == tmp_path / "fpa.log"
    assert config.plugins.block == ("disk",)
    assert {name: source.backend for name, source in config.sources.items()} == {"files": "files", "fxcm": "files"}


OVERLAYS = """
[store]
path = "portfolio.db"
busy = "1s"

[env.test.cache]
backend = "disk"

[env.dev.cache]
backend = "memory"

[env.prod.store]
backend = "postgres"
dsn = "postgresql://fpa:${FPA_PASSWORD}@db/fpa"
"""


def test_overlays_differ_in_nothing_but_what_they_say(tmp_path):
    """Two environments that name different caches share everything else."""
    test, dev = build(tmp_path, OVERLAYS, "test"), build(tmp_path, OVERLAYS, FPA_ENV="dev")
    assert (test.env, dev.env) == ("test", "dev")
    assert isinstance(test.cache.options, Disk)
    assert isinstance(dev.cache.options, Memory)
    assert (test.store, test.validator, test.logging) == (dev.store, dev.validator, dev.logging)


def test_the_explicit_environment_wins_over_the_variable(tmp_path):
    """--env is nearer to the user than FPA_ENV."""
    assert build(tmp_path, OVERLAYS, "test", FPA_ENV="dev").env == "test"


def test_an_unknown_environment_lists_the_known_ones(tmp_path):
    """A mistyped environment is an error with the near miss, never silently the base."""
    with pytest.raises(ConfigError, match=r"\"tset\".*test, dev, prod.*did you mean test") as caught:
        load(write(tmp_path, OVERLAYS), "tset", {})
    assert caught.value.problems[0].key == "env"
    with pytest.raises(ConfigError, match="has no environments"):
        load(write(tmp_path, ""), "prod", {})


def test_another_backend_starts_without_the_options_of_the_former(tmp_path):
    """The base's options for one backend are no errors of the backend that an overlay puts in its place."""
    config = build(tmp_path, OVERLAYS, "prod", FPA_PASSWORD="hunter2")
    assert config.store.options.dsn == "postgresql://fpa:hunter2@db/fpa"
    assert ("store", "path") not in config.origins


def test_another_backend_may_come_from_a_variable(tmp_path):
    """A variable that changes the backend drops the file's options as an overlay does, for sources too."""
    text = '[store]\npath = "x.db"\n[sources.fxcm]\nbackend = "alpaca"\nfeed = "sip"\n'
    environ = {"FPA_STORE__BACKEND": "postgres", "FPA_STORE__DSN": "host=db", "FPA_SOURCES__FXCM__BACKEND": "files"}
    config = build(tmp_path, text, **environ)
    assert config.store.options == Postgres("host=db")
    assert config.sources["fxcm"].options == Nothing()


def test_the_same_backend_keeps_its_options(tmp_path):
    """An overlay that repeats the backend merges into its options."""
    text = '[store]\npath = "x.db"\n[env.dev.store]\nbackend = "sqlite"\nbusy = 2\n'
    assert build(tmp_path, text, "dev").store.options == Sqlite(path=tmp_path / "x.db", busy=2.0)


def test_an_error_in_an_overlay_names_everything(tmp_path):
    """File, line, key path, value, what was expected and the near miss are in the message and in the problem."""
    (problem,) = problems(tmp_path, '[store]\n\n[env.test.cache]\nbackend = "dsk"\n', "test")
    assert problem == Problem(
        file=tmp_path / "fpa.toml",
        line=4,
        key="env.test.cache.backend",
        value='"dsk"',
        expected="unknown cache; expected one of: disk, memory",
        hint="did you mean disk?",
    )
    assert f'{tmp_path / "fpa.toml"}:4: env.test.cache.backend = "dsk"' in str(problem)


def test_every_problem_is_told_at_once(tmp_path):
    """A file full of mistakes is mended in one round, not in ten."""
    found = problems(
        tmp_path,
        """
        [stor]
        [store]
        busy = "5 parsecs"
        sync = "ful"
        pth = "x.db"
        [cache]
        max_entries = "many"
        [cache.ttl]
        quotes = "x"
        qoutes = "1s"
        [validator]
        level = "strickt"
        [validator.rules."quote.spraed"]
        [validator.rules."quote.spread"]
        symbols = ["A", 5]
        max_rel = true
        [plugins]
        strict = "maybe"
        [logging]
        level = 3
        [sources.fils]
        [sources.fxcm]
        backend = 5
        """,
        FPA_CACHE__MAX_ENTRYS="5",
        FPA_STROE__PATH="x",
    )
    told = {problem.key: (problem.value, problem.hint) for problem in found}
    assert told == {
        "stor": (None, "did you mean store?"),
        "environment variable FPA_STROE__PATH": (None, "did you mean store?"),
        "plugins.strict": ('"maybe"', None),
        "logging.level": ("3", None),
        "store.busy": ('"5 parsecs"', None),
        "store.sync": ('"ful"', "did you mean full?"),
        "store.pth": ('"x.db"', "did you mean path?"),
        "cache.max_entries": ('"many"', None),
        "cache.ttl.quotes": ('"x"', None),
        "cache.ttl.qoutes": (None, "did you mean quotes?"),
        "environment variable FPA_CACHE__MAX_ENTRYS": ('"5"', "did you mean max_entries?"),
        "validator.level": ('"strickt"', "did you mean strict?"),
        'validator.rules."quote.spraed"': (None, "did you mean quote.spread?"),
        'validator.rules."quote.spread".symbols[1]': ("5", None),
        'validator.rules."quote.spread".max_rel': ("true", 'write it like "123.45"'),
        "sources.fils": (None, "did you mean files?"),
        "sources.fxcm.backend": ("5", None),
    }


def test_an_unknown_key_is_compared_with_core_and_option_keys(tmp_path):
    """Core keys and options stand in one table, so a near miss of either is found."""
    keys = {p.key: p.hint for p in problems(tmp_path, '[cache]\nmax_entires = 1\nnamspace = "x"\n')}
    assert keys == {"cache.max_entires": "did you mean max_entries?", "cache.namspace": "did you mean namespace?"}


def test_a_missing_required_option_is_a_problem(tmp_path):
    """An option without a default must be given, and the message names the key that lacks."""
    (problem,) = problems(tmp_path, '[store]\nbackend = "postgres"\n')
    assert (problem.key, problem.value, problem.expected) == ("store.dsn", None, "this key is required")
    assert problem.line == 1


def test_a_failed_plugin_is_named_where_its_backend_is_configured(tmp_path):
    """What is unknown because a plugin failed says so, beside the near miss."""
    tree = load(write(tmp_path, '[cache]\nbackend = "memry"\n'), environ={})
    with pytest.raises(ConfigError, match=r"did you mean memory\? plugin acme failed for memry"):
        structure(tree, **REGISTRIES, explain=lambda name: f"plugin acme failed for {name}")


def test_ttl_by_kind_merges_across_layers(tmp_path):
    """A single lifetime is the default of all kinds, and tables of other layers add to it."""
    text = '[cache]\nttl = "5m"\n[env.a.cache.ttl]\nquotes = "1s"\nbars = "never"\n[env.b.cache]\nttl = 7\n'
    cache = build(tmp_path, text, "a").cache
    assert [cache.ttl_of(kind) for kind in ("trades", "quotes", "bars")] == [300.0, 1.0, None]
    assert build(tmp_path, text, "b").cache.ttl == {"default": 7.0}
    assert build(tmp_path, text, "a", FPA_CACHE__TTL="9s").cache.ttl == {"default": 9.0, "quotes": 1.0, "bars": None}


@pytest.mark.parametrize(
    ("text", "variables", "place"),
    [
        ('[cache]\nttl = "soon"\n', {}, ":2: cache.ttl = "),
        ("[cache]\nttl = [1]\n", {}, ":2: cache.ttl = "),
        ('[cache.ttl]\ndefault = "soon"\n', {}, ":2: cache.ttl.default = "),
        ('[cache.ttl]\nquotes = "soon"\n', {}, ":2: cache.ttl.quotes = "),
        ("", {"FPA_CACHE__TTL": "soon"}, "environment variable FPA_CACHE__TTL = "),
    ],
    ids=repr,
)
def test_a_bad_lifetime_is_reported_where_it_stands(tmp_path, text, variables, place):
    """A single lifetime is reported as the key that was written, not as the default it stands for."""
    (tmp_path / "fpa.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        fpa_core.open(tmp_path / "fpa.toml", environ=variables)
    assert place in str(caught.value)
    assert "expected a duration" in str(caught.value)


def test_several_caches_have_their_options_in_tables(tmp_path):
    """With a list of caches, each one's options stand in a table of its name, and nothing else may."""
    text = '[cache]\nbackend = ["memory", "disk"]\nmemory.max_entries = 5\n'
    config = build(tmp_path, text)
    assert config.cache.options == (Memory(5), Disk(tmp_path / "cache"))
    assert ("cache.memory.max_entries", 5) in [(setting.key, setting.value) for setting in settings(config)]
    found = problems(tmp_path, '[cache]\nbackend = ["memory", "dsk"]\nmax_entries = 5\n')
    assert [problem.key for problem in found] == ["cache.max_entries", "cache.backend"]


def test_sections_that_are_no_tables(tmp_path):
    """A value where a table belongs is a problem, not a crash."""
    keys = [p.key for p in problems(tmp_path, "store = 5\nsources.x = 1\nvalidator.rules = 3\n")]
    assert keys == ["store", "validator.rules", "sources.x"]
    keys = [p.key for p in problems(tmp_path, 'validator.rules."quote.spread" = 3\n')]
    assert keys == ['validator.rules."quote.spread"']
    for text in ("env = 5", "[env]\nprod = 5"):
        with pytest.raises(ConfigError, match="expected"):
            load(write(tmp_path, text), "prod", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[store\n", r"fpa.toml:1: the configuration is not valid TOML"),
        (b"a = 1\na = 2\n", r"not valid TOML"),
        (b"a = '\xff'", r"not UTF-8"),
        (b"a = " + b"[" * 100_000, r"nests deeper"),
        (b"a = " + b"[" * 40 + b"]" * 40, r"nests deeper"),
        (b".".join([b"a"] * 5000) + b" = 1", r"nests deeper"),
        (b"a = " + b"9" * 10_000, r"not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_one_problem(tmp_path, content, message):
    """Broken text, broken encoding and absurd nesting are told with the file, and the line where there is one."""
    path = tmp_path / "fpa.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path, environ={})


def test_a_file_that_is_not_there(tmp_path):
    """A file that was asked for must exist."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "no.toml", environ={})


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path):
    """Files from editors on Windows work, and their lines are counted rightly."""
    path = tmp_path / "fpa.toml"
    path.write_bytes(b'\xef\xbb\xbf[store]\r\n\r\nbackend = "x"\r\n')
    with pytest.raises(ConfigError, match=r"fpa\.toml:3: store\.backend"):
        structure(load(path, environ={}), **REGISTRIES)


def test_variables_override_any_key(tmp_path, monkeypatch):
    """FPA_SECTION__KEY wins over file and overlay, reads numbers, lists and words, and leaves other FPA_ names alone."""
    monkeypatch.chdir(tmp_path)
    config = build(
        tmp_path,
        OVERLAYS,
        FPA_STORE__BUSY="2.5",
        FPA_STORE__PATH="shell.db",
        FPA_CACHE__BACKEND="memory",
        FPA_CACHE__MAX_ENTRIES="5",
        FPA_PLUGINS__STRICT="True",
        FPA_PLUGINS__BLOCK="a, b",
        FPA_PLUGINS__REQUIRED='["c>=1,<2"]',
        FPA_VALIDATOR__RULES__QUOTE_SPREAD__MAX_REL="0.2",
        FPA_DSN="not ours",
        HOME="/",
    )
    assert config.store.options == Sqlite(path=tmp_path / "shell.db", busy=2.5)
    assert config.cache.options == Memory(5)
    assert config.plugins.strict is True
    assert (config.plugins.block, config.plugins.required) == (("a", "b"), ("c>=1,<2",))
    assert config.validator.rules["quote.spread"].max_rel == Decimal("0.2")
    assert str(config.origins["store", "busy"]) == "environment variable FPA_STORE__BUSY"


def test_a_variable_may_name_several_caches(tmp_path):
    """Commas make a list where one word or a list may stand."""
    assert build(tmp_path, "", FPA_CACHE__BACKEND="memory,disk").cache.backend == ("memory", "disk")


def test_only_variables_write_rule_ids_with_underscores(tmp_path):
    """In the file a rule is called by its id; anything near it is a near miss."""
    (problem,) = problems(tmp_path, "[validator.rules.quote_spread]\nmax_rel = 1\n")
    assert problem.hint == "did you mean quote.spread?"


def test_variables_that_cannot_be_meant(tmp_path):
    """A variable with an empty part, an unknown section, or one that another contradicts is named."""
    found = problems(
        tmp_path,
        "",
        FPA_STORE__="x",
        FPA_ENV__PROD__STORE__PATH="x",
        FPA_CACHE__TTL="1s",
        FPA_CACHE__TTL__QUOTES="1s",
        FPA_VALIDATOR__RULES="x",
    )
    assert sorted(problem.key.split()[-1] for problem in found) == [
        "FPA_CACHE__TTL__QUOTES",
        "FPA_ENV__PROD__STORE__PATH",
        "FPA_STORE__",
        "FPA_VALIDATOR__RULES",
    ]
    found = problems(tmp_path, "", FPA_VALIDATOR__RULES__QUOTE_SPREAD="x")
    assert [problem.expected for problem in found] == ["unknown rule; expected one of: quote.spread"]


def test_secrets_come_from_the_environment_and_stay_hidden(tmp_path):
    """A secret reaches the driver, and nothing that prints: not a repr, not the listing, not an error."""
    config = build(tmp_path, OVERLAYS, "prod", FPA_PASSWORD="hunter2!")
    assert isinstance(config.store.options.dsn, Secret)
    assert config.secrets == {"hunter2!", "postgresql://fpa:hunter2!@db/fpa"}
    listing = [(setting.key, setting.value, str(setting.origin)) for setting in settings(config)]
    assert ("store.dsn", "***", "fpa.toml:14 (env prod)") in listing
    assert "hunter2" not in repr(config) + repr(listing) + repr(load(config.path, "prod", {"FPA_PASSWORD": "hunter2!"}))
    text = '[cache]\nmax_entries = "${N}"\nbackend = "memory"\n[store]\nsync = "${S}"\npool = "${S}"\n'
    for problem in problems(tmp_path, text, N="hunter2", S="fulll"):
        assert problem.value == "***"
        assert not {"hunter2", "fulll"} & {*str(problem).replace('"', " ").split()}
        assert "did you mean full" not in str(problem)


def test_a_secret_in_a_foreign_error_message_is_masked(tmp_path):
    """A validator of an options class may put the value into its message; the secret is taken out of it."""

    def refuse(_: object, __: object, value: object) -> None:
        raise ValueError(f"{value} is no good")

    @attrs.frozen
    class Options:
        key: str = attrs.field(validator=refuse)

    tree = load(write(tmp_path, '[store]\nkey = "${KEY}"\n'), environ={"KEY": "hunter2"})
    with pytest.raises(ConfigError, match=r"not allowed: \*\*\* is no good") as caught:
        structure(tree, **{**REGISTRIES, "stores": {"sqlite": Options}})
    assert "hunter2" not in str(caught.value)


def test_an_unset_secret_is_a_problem_only_where_it_is_used(tmp_path):
    """An environment that is not chosen may lack its secrets; the one that is chosen says which variable to set."""
    assert build(tmp_path, OVERLAYS, "dev").env == "dev"
    (problem,) = problems(tmp_path, OVERLAYS, "prod")
    assert problem.key == "env.prod.store.dsn"
    assert problem.expected == "the environment variable FPA_PASSWORD is not set"


@pytest.mark.parametrize(
    ("environ", "dsn"), [({}, "db:a:-b"), ({"DSN": ""}, "db:a:-b"), ({"DSN": "other"}, "db:other")]
)
def test_references_with_a_default(tmp_path, environ, dsn):
    """The text after ``:-`` is used if the variable is not set or empty, and may hold anything but braces."""
    text = '[store]\nbackend = "postgres"\ndsn = "db:${DSN:-a:-b}"\n'
    config = structure(load(write(tmp_path, text), environ=environ), **REGISTRIES)
    assert dsn == config.store.options.dsn


def test_an_unset_variable_is_one_problem(tmp_path):
    """What is made of a value that is missing is not reported as a second problem, and is not checked if that is asked for."""
    file = write(tmp_path, '[store]\nbackend = "${BACKEND}"\n[cache]\nttl = "${TTL}"\n')
    with pytest.raises(ConfigError) as caught:
        structure(load(file, environ={}), **REGISTRIES)
    assert ["BACKEND is not set", "TTL is not set"] == [
        each.expected[-len(name) - 11 :] for each, name in zip(caught.value.problems, ("BACKEND", "TTL"), strict=True)
    ]
    structure(load(file, environ={}, demand_variables=False), **REGISTRIES)


@pytest.mark.parametrize("variable", ["FPA_STORE_PATH", "FPA_CACHE_TTL"])
def test_a_variable_with_one_underscore_is_reported(tmp_path, variable):
    """It would be ignored, so it is an error with the name that was meant; unless the file refers to it."""
    (problem,) = load(
        write(tmp_path, ""), environ={variable: "x", "FPA_ENVIRONMENT": "y", "FPA_SHARED_DATA": "z"}
    ).problems
    assert f"environment variable {variable}" == problem.key
    assert f"did you mean {variable[:9]}_{variable[9:]}?" == problem.hint
    assert not load(write(tmp_path, f'[store]\nkey = "${{{variable}}}"\n'), environ={variable: "x"}).problems


def test_dollars_that_are_no_references(tmp_path):
    """A doubled dollar is a plain one before a brace, other dollars are nothing special, and a bad name is an error."""
    config = build(tmp_path, '[store]\nbackend = "postgres"\ndsn = "$${X} $HOME ${"\n')
    assert config.store.options.dsn == "${X} $HOME ${"
    assert not isinstance(config.store.options.dsn, Secret)
    (problem,) = problems(tmp_path, '[store]\nbackend = "postgres"\ndsn = "${A B}"\n')
    assert "name of an environment variable" in problem.expected


def test_secrets_within_lists_and_tables(tmp_path):
    """A reference is replaced however deep it stands, and the whole key counts as secret."""
    text = '[plugins]\nblock = ["${A}", "b"]\n[[logging.x]]\ny = "${A}"\n[[logging.x]]\ny = "${B}"\n'
    tree = load(write(tmp_path, text), environ={"A": "hunter2"})
    assert tree.plugins.block == ("hunter2", "b")
    assert tree.origins["plugins", "block"].secret
    assert [(problem.key, problem.value) for problem in tree.problems] == [
        ("logging.x", '"${B}"'),
        ("logging.x", "***"),
    ]
    assert "hunter2" not in "".join(map(str, tree.problems))


def test_plain_credentials_are_masked_in_the_listing(tmp_path):
    """A password that somebody wrote into the file is not printed either."""
    config = build(tmp_path, '[store]\nbackend = "postgres"\ndsn = "postgresql://fpa:hunter2@db/fpa"\n')
    listing = {setting.key: setting.value for setting in settings(config)}
    assert listing["store.dsn"] == "postgresql://fpa:***@db/fpa"


def test_the_listing_tells_every_setting_and_its_origin(tmp_path):
    """Values from the base, an overlay, a variable and the defaults stand side by side, each saying so."""
    text = '[store]\npath = "x.db"\n[validator.rules."quote.spread"]\nsymbols = ["A"]\n[env.dev.logging]\nlevel = "DEBUG"\n'
    config = build(tmp_path, text, "dev", FPA_STORE__BUSY="2s")
    listing = {setting.key: (setting.value, str(setting.origin)) for setting in settings(config)}
    assert listing["store.path"] == (str(tmp_path / "x.db"), "fpa.toml:2")
    assert listing["logging.level"] == ("DEBUG", "fpa.toml:6 (env dev)")
    assert listing["store.busy"] == (2.0, "environment variable FPA_STORE__BUSY")
    assert listing["cache.ttl.default"] == (300.0, "default")
    assert listing['validator.rules."quote.spread".symbols'] == (["A"], "fpa.toml:4")
    assert listing["plugins.block"] == ([], "default")


def test_plugins_and_logging_are_ready_before_the_rest(tmp_path):
    """The first step gives what is needed to load plugins, with defaults for what is wrong, and keeps the problem."""
    tree = load(write(tmp_path, '[plugins]\nstrict = true\n[logging]\nlevel = "LOUD"\n'), environ={})
    assert isinstance(tree, Tree)
    assert tree.plugins.strict is True
    assert tree.logging.level == "WARNING"
    assert [problem.key for problem in tree.problems] == ["logging.level"]


def test_the_template_says_what_holds_by_default(tmp_path, monkeypatch):
    """A new fpa.toml changes nothing, and all that it proposes in comments is valid."""
    monkeypatch.chdir(tmp_path)
    fresh, plain = build(tmp_path, template()), structure(load(environ={}, path=write(tmp_path, "")), **REGISTRIES)
    assert attrs.evolve(fresh, origins={}) == attrs.evolve(plain, origins={})
    before, overlay = template().split("# [env.prod.store]")
    overlay = "# [env.prod.store]" + overlay
    config = build(tmp_path, before + overlay.replace("# ", "").replace("#\n", "\n"), "prod")
    assert config.cache.backend == "disk"
    assert config.cache.ttl_of("quotes") == 1.0


def test_the_listing_has_sources_and_nested_options_but_no_derived_fields(tmp_path):
    """What can be set is listed, by the key that sets it."""

    @attrs.frozen
    class Odd:
        api_key: int = 5
        derived: int = attrs.field(default=1, init=False)
        tags: frozenset[str] = frozenset({"b", "a"})
        note: str | None = None

    tree = load(write(tmp_path, "[sources.odd]\n"), environ={})
    listing = {s.key: s.value for s in settings(structure(tree, **{**REGISTRIES, "sources": {"odd": Odd}}))}
    assert {key: value for key, value in listing.items() if key.startswith("sources")} == {
        "sources.odd.backend": "odd",
        "sources.odd.api_key": "***",
        "sources.odd.tags": ["a", "b"],
        "sources.odd.note": None,
    }


def test_a_cache_backend_of_the_wrong_type(tmp_path):
    """Without a known backend its options cannot be judged, so the backend alone is the problem."""
    assert [p.key for p in problems(tmp_path, "[cache]\nbackend = 5\nx = 1\n")] == ["cache.backend"]


def test_a_missing_section_is_told_without_a_line(tmp_path):
    """A required option of the default backend lacks in the file as a whole."""

    @attrs.frozen
    class Needy:
        key: str

    tree = load(write(tmp_path, ""), environ={})
    with pytest.raises(ConfigError, match=r"fpa\.toml: store\.key: this key is required"):
        structure(tree, **{**REGISTRIES, "stores": {"sqlite": Needy}})


def test_near_misses_ignore_case_and_give_up_in_time():
    """A near miss is one that a person would recognise."""
    assert closest_match("SQLITE", ["sqlite", "postgres"]) == "sqlite"
    assert closest_match("mongodb", ["sqlite", "postgres"]) is None

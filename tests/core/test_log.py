"""Logging: where messages go, in what form, and that no secret is among them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fpa_core.config import LogFormat, LoggingSection, LogLevel
from fpa_core.config.secrets import EnvString, Secret, hide_credentials, redact
from fpa_core.exceptions import ConfigError
from fpa_core.log import Redaction, configure

CANARY = "c4n4ry p'ss\"word"


@pytest.fixture(autouse=True)
def _restored():
    """Leave logging as it was found."""
    root, frames = logging.getLogger("fpa"), logging.getLogger("websockets")
    before = (root.level, root.propagate, frames.level)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(before[0])
    root.propagate = before[1]
    frames.setLevel(before[2])


def test_nothing_is_installed_by_an_import():
    """A library does not decide where messages go."""
    code = "import logging, fpa_core.layer, fpa_core.log; print(logging.getLogger('fpa').handlers)"
    assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_text_for_people(capsys):
    """By default warnings and worse go to the standard error stream as lines."""
    configure()
    logging.getLogger("fpa.store").info("quiet")
    logging.getLogger("fpa.store").warning("disk %d %% full", 90)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" WARNING fpa.store: disk 90 % full\n")
    assert err.count("\n") == 1


def test_json_for_machines(capsys):
    """Each line is one JSON object with the time in UTC, the fields of the message and those that were added."""
    configure(LoggingSection(LogLevel.INFO, LogFormat.JSON))
    extra = {"rows": 5, "ratio": 0.5, "odd": float("nan"), "deep": {"a": [1, (2, None)]}, "level": "mine", "on": True}
    logging.getLogger("fpa.layer").info("ingested\n%s", "é", extra=extra)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry.pop("ts").endswith("Z")
    assert list(entry) == ["level", "logger", "message", "deep", "odd", "on", "ratio", "rows"]
    assert entry == {
        "level": "INFO",
        "logger": "fpa.layer",
        "message": "ingested\né",
        "rows": 5,
        "ratio": 0.5,
        "odd": "nan",
        "deep": {"a": [1, [2, None]]},
        "on": True,
    }


def test_the_command_line_wins(capsys):
    """--log-level overrides the section, in any case of letters, and a mistyped level is an error."""
    configure(LoggingSection(), "debug")
    logging.getLogger("fpa.x").debug("seen")
    assert "seen" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"unknown log level 'debgu'.*\n.*did you mean DEBUG"):
        configure(LoggingSection(), "debgu")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_once(capsys):
    """Lines that do not fit into the log file cost one message, not a traceback each, and are on standard error all the same."""
    configure(LoggingSection(file="/dev/full"))
    for number in range(3):
        logging.getLogger("fpa.test").warning("line %d", number)
    told = capsys.readouterr().err
    assert 1 == told.count("the log file /dev/full cannot be written")
    assert [1, 1, 1] == [told.count(f"line {number}") for number in range(3)]
    assert "Traceback" not in told
    configure()


def test_configuring_again_replaces(tmp_path, capsys):
    """A second call leaves one handler of each sort, and the first file closed."""
    section = LoggingSection(file=tmp_path / "fpa.log")
    configure(section)
    configure(section)
    logging.getLogger("fpa").warning("once")
    assert capsys.readouterr().err.count("once") == 1
    configure()
    assert (tmp_path / "fpa.log").read_text(encoding="utf-8").count("once") == 1


def test_a_file_that_cannot_be_written(tmp_path):
    """A log file in a folder that is not there is an error of the configuration."""
    with pytest.raises(ConfigError, match="cannot be written"):
        configure(LoggingSection(file=tmp_path / "no" / "fpa.log"))


@pytest.mark.parametrize("form", list(LogFormat))
def test_no_secret_is_written(tmp_path, capsys, form):
    """Not in the message, the arguments, an extra field, an exception, its cause, or the stack, in any quoting, at DEBUG too."""
    configure(LoggingSection(LogLevel.DEBUG, form, tmp_path / "fpa.log"), secrets=[CANARY, "k3y"])
    log = logging.getLogger("fpa.store")
    log.debug("dsn %s %r", CANARY, {"dsn": CANARY}, extra={"auth": {"k": [CANARY]}, "key": "k3y"})
    log.debug("url postgresql://u:sesame@h/db", stack_info=True)
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as error:
            raise RuntimeError(repr(CANARY)) from error
    except RuntimeError:
        log.exception("failed with %s", CANARY)
    configure()
    written = capsys.readouterr().err + (tmp_path / "fpa.log").read_text(encoding="utf-8")
    assert "RuntimeError" in written
    assert "Stack (most recent call last)" in written
    for secret in (CANARY, "c4n4ry", "k3y", "sesame"):
        assert secret not in written


def test_arguments_that_do_not_fit_do_no_harm(capsys):
    """A wrong call of the logger loses neither its message nor the program."""

    class Bad:
        def __str__(self) -> str:
            raise RuntimeError

    configure()
    logging.getLogger("fpa").warning("%d rows", "many")
    logging.getLogger("fpa").warning("odd", extra={"bad": Bad()})
    err = capsys.readouterr().err
    assert "%d rows (its arguments do not fit: TypeError)" in err
    assert "odd" in err


def test_exceptions_are_in_the_json(capsys):
    """A machine finds the traceback in a field of its own."""
    configure(LoggingSection(format=LogFormat.JSON))
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("fpa").exception("failed", stack_info=True)
    entry = json.loads(capsys.readouterr().err)
    assert entry["exception"].endswith("ValueError: boom")
    assert entry["stack"].startswith("Stack")


def test_frames_of_web_sockets_stay_out():
    """The logger that would write whole frames, keys included, is held at INFO, or where it was when that is higher."""
    configure(LoggingSection(), "DEBUG")
    frames = logging.getLogger("websockets")
    assert frames.level == logging.INFO
    frames.setLevel(logging.ERROR)
    configure(LoggingSection(), "DEBUG")
    assert frames.level == logging.ERROR


def test_the_filter_serves_other_handlers():
    """A program with logging of its own gets clean records by the filter alone."""
    record = logging.makeLogRecord({"msg": "key %s", "args": ("s3cret",), "exc_info": (None, None, None)})
    assert Redaction(["s3cret"]).filter(record) is True
    assert record.getMessage() == "key ***"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://:pw@cache:6379/0", "redis://:***@cache:6379/0"),
        ("postgresql://u:p@w@h/db and http://h:80/x@y", "postgresql://u:***@h/db and http://h:80/x@y"),
        ("host=h password=pw dbname=d", "host=h password=*** dbname=d"),
        ("password='a b\\'c' user=u", "password=*** user=u"),
        ('{"api_key": "k", "x": 1}', '{"api_key": ***, "x": 1}'),
        ("APCA-API-SECRET-KEY: abc", "APCA-API-SECRET-KEY: ***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("?token=abc&x=1", "?token=***&x=1"),
        ("nothing here", "nothing here"),
    ],
)
def test_credentials_are_found_by_their_place(text, hidden):
    """What follows a name such as password, and what stands before the @ of a URL, is masked without being listed."""
    assert hide_credentials(text) == hidden


def test_secrets_are_found_in_any_form():
    """Percent-encoded and quoted forms count; a secret within another leaves no rest; a very short one masks whole words alone."""
    assert redact("p%40ss%2Fw p@ss/w 'it\\'s\\n'", ["p@ss/w", "it's\n"]) == "*** *** '***'"
    assert redact('"x\\ny\\"z"', ['x\ny"z']) == '"***"'
    assert redact("abcdef abcd", ["abcd", "abcdef", ""]) == "*** ***"
    assert redact("a cat sat at a", ["a"]) == "*** cat sat at ***"


def test_a_secret_is_text_with_a_masked_repr():
    """Drivers get the text; whoever prints the object, or something that holds it, gets the mask."""
    secret = Secret("hunter2")
    assert secret == "hunter2"
    assert isinstance(secret, EnvString)
    assert repr([secret]) == "['***']"

"""Errors: one root, facts as attributes, and nothing lost on the way to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys

import pytest

from fpa_core import exceptions
from fpa_core.exceptions import (
    CacheError,
    CommitInDoubtError,
    ConfigError,
    ConnectionLostError,
    CorruptionError,
    DatabaseBusyError,
    DatabaseError,
    DataError,
    FpaError,
    InterruptedReadError,
    LostWritesError,
    MissingDependencyError,
    NotReplicatedError,
    PluginError,
    SchemaError,
    SourceError,
    StaleDataError,
    ValidationError,
)

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]
FACTS = {
    FpaError: {},
    ConfigError: {"problems": ("first", "second")},
    PluginError: {"plugin": "disk", "distribution": "financial-portfolio-automation"},
    MissingDependencyError: {"plugin": "disk", "package": "diskcache", "command": "pip install diskcache"},
    DatabaseError: {"path": "market.db", "operation": "write"},
    DatabaseBusyError: {"path": "market.db", "operation": "begin"},
    ConnectionLostError: {"path": "postgresql://a:5432/market", "operation": "write"},
    InterruptedReadError: {"path": "postgresql://a:5432/market", "operation": "read quotes"},
    CommitInDoubtError: {"path": "postgresql://a:5432/market", "operation": "commit"},
    NotReplicatedError: {"path": "postgresql://a:5432/market", "operation": "commit"},
    LostWritesError: {"path": "postgresql://a:5432/market", "operation": "write"},
    SchemaError: {"path": "market.db", "operation": "open"},
    CorruptionError: {"path": "market.db", "operation": "read"},
    CacheError: {"key": "quotes:AAPL"},
    DataError: {"field": "Quote.bid", "value": "cheap", "source": "quotes.csv", "row": 7},
    SourceError: {"source": "alpaca", "status": 503, "transient": True},
    StaleDataError: {"kind": "quotes", "symbol": "AAPL", "newest_ns": 5, "age": 86_400.0, "max_age": 900.0},
    ValidationError: {"findings": ("crossed",)},
}
every_error = pytest.mark.parametrize("error", CLASSES, ids=exceptions.__all__)


def facts(error):
    """Return what an error says besides its text."""
    return {name: getattr(error, name) for name in FACTS[type(error)]}


def test_one_root():
    """All errors have one root, which is an ordinary exception."""
    assert set(FACTS) == set(CLASSES)
    assert all(issubclass(error, FpaError) for error in CLASSES)
    assert (Exception, BaseException, object) == FpaError.__mro__[1:]


def test_families():
    """Errors of a kind can be caught by the name of the kind."""
    of_servers = {ConnectionLostError, CommitInDoubtError, LostWritesError}
    assert {DatabaseBusyError, SchemaError, CorruptionError} | of_servers == set(DatabaseError.__subclasses__())
    assert issubclass(NotReplicatedError, CommitInDoubtError)
    assert issubclass(InterruptedReadError, ConnectionLostError)
    assert issubclass(MissingDependencyError, PluginError)


@every_error
def test_a_message_is_enough(error):
    """Every error can be made of its message alone: all other facts are optional, and keywords."""
    made = error("it went wrong")
    assert ("it went wrong", "it went wrong", None) == (str(made), made.message, made.hint)
    assert all(not value for value in facts(made).values())
    assert set(FACTS[error]) | {"message", "hint"} <= {*inspect.signature(error).parameters}
    with pytest.raises(TypeError):
        error("it went wrong", "a hint")


@every_error
def test_facts_are_attributes(error):
    """What an error is told can be read from it, without reading its prose."""
    made = error("it went wrong", hint="do better", **FACTS[error])
    assert FACTS[error] == facts(made)
    assert ("it went wrong", "do better") == (made.message, made.hint)


@every_error
def test_the_hint_is_shown_below_the_message(error):
    """Text of an error is the message, and the hint on a line of its own."""
    assert "it went wrong\n  hint: do better" == str(error("it went wrong", hint="do better"))
    assert "it went wrong" == str(error("it went wrong", hint=""))


@every_error
def test_errors_survive_copies_and_pickles(error):
    """An error that crosses a process boundary keeps its class, message, hint, facts and notes."""
    made = error("it went wrong", hint="do better", **FACTS[error])
    made.add_note("in chunk 3")
    pickles = [pickle.loads(pickle.dumps(made, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*pickles, copy.copy(made), copy.deepcopy(made)):
        assert (type(made), str(made), made.hint, made.__notes__) == (type(twin), str(twin), twin.hint, twin.__notes__)
        assert FACTS[error] == facts(twin)


def test_the_command_is_the_hint():
    """A missing package's hint is the command that installs it, unless there is a better one."""
    assert "run: pip install x" == MissingDependencyError("no x", command="pip install x").hint
    assert "ask" == MissingDependencyError("no x", hint="ask", command="pip install x").hint
    assert MissingDependencyError("no x").hint is None


def test_several_problems_become_a_tuple():
    """Problems and findings may come as any sequence and cannot be changed afterwards."""
    problems = ["a"]
    error, invalid = ConfigError("no", problems=problems), ValidationError("no", findings=problems)
    problems.append("b")
    assert (("a",), ("a",)) == (error.problems, invalid.findings)


def test_a_message_is_text():
    """Whatever an error is made with, its message is text."""
    assert "5" == FpaError(5).message


def test_an_error_nobody_catches_ends_the_program():
    """A program that does not catch an error ends with status 1, and the message and the hint are the last it writes."""
    code = "from fpa_core.exceptions import DataError\nraise DataError('no number', hint='write one')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 1 == ended.returncode
    assert ended.stderr.endswith("fpa_core.exceptions.DataError: no number\n  hint: write one\n")


@every_error
def test_errors_are_explained(error):
    """Every error says when it is raised, and what its attributes mean."""
    text = inspect.getdoc(error)
    assert text
    inherited = set(inspect.signature(error.__base__).parameters) if error is not FpaError else set()
    own = set(inspect.signature(error).parameters) - inherited
    assert all(f":param {name}:" in text for name in own)

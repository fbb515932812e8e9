"""What files and databases say, shown on terminals and in logs: escaped; and what happens when standard output fails."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from fpa_core.cli import main
from fpa_core.cli.tables import table
from fpa_core.config import LogFormat, LoggingSection
from fpa_core.display import displayed, displayed_error, json_text
from fpa_core.exceptions import ConfigError, DataError
from fpa_core.log import configure

EVIL = "x\x1b]0;PWNED\x07\x9b31m\u202e\u200b\u2028y"
SHOWN = r"x\x1b]0;PWNED\x07\x9b31m\u202e\u200b\u2028y"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
"""What must not reach a terminal; a line feed may end a line."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals and descriptors of POSIX")


def fpa(*arguments: str) -> Result:
    """Run ``fpa`` in the current folder with errors as messages."""
    return CliRunner().invoke(_Main(), list(arguments))


class _Main(main.click.Command):
    def __init__(self) -> None:
        super().__init__("fpa")

    def main(self, args=None, *_, **__):
        return main.main(list(args))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ingest a hostile trade and a hostile row that is quarantined."""
    monkeypatch.chdir(tmp_path)
    quoted = f'"{EVIL}\nforged,line"'
    rows = [f"A,2024-05-01T14:30:00Z,1,1,{quoted}", f"[red]A[/red],2024-05-01T14:30:00Z,1,1,{quoted}"]
    rows.append(f"A,bad {EVIL},1,1,c")
    text = "\n".join(["symbol,timestamp,price,size,conditions", *rows, ""])
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert fpa("ingest", "t.csv").exit_code == 0
    return tmp_path


@given(st.text(st.characters()))
@example("\ud800\x1b\n")
def test_shown_texts_have_nothing_a_terminal_obeys(text):
    """No control, format mark, separator or surrogate is left, and what is left encodes."""
    shown = displayed(text)
    assert not UNSAFE.search(shown)
    assert "\n" not in shown
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    shown.encode()


@given(st.text(st.characters(exclude_characters="\\")))
def test_escaping_is_reversible_without_backslashes(text):
    """Two texts without a backslash never look the same because of the escapes."""
    unescaped = re.sub(
        r"\\(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})",
        lambda found: found[0].encode().decode("unicode_escape"),
        displayed(text),
    )
    assert text == unescaped


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
@example("C:\\data\\é 株\u3000\u00a0🙂")
def test_plain_text_is_unchanged(text):
    """Letters of every script, spaces and backslashes are shown as they are."""
    assert text == displayed(text)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_json_is_safe_and_means_the_same(value):
    """JSON has no character that a terminal obeys, and a parser reads the value from it."""
    for indent in (None, 2):
        assert not UNSAFE.search(json_text(value, indent=indent))
        assert value == json.loads(json_text(value, indent=indent))


def test_data_cannot_add_lines_to_an_error():
    """A line feed from data is escaped in the message, the hint and each problem; our own between problems are kept."""
    assert r"a\nerror: b" + "\n  hint: " + r"c\nd" == displayed_error(DataError("a\nerror: b", hint="c\nd"))
    problems = ["one\x1b\nforged", "two"]
    error = ConfigError("wrong:\n  " + "\n  ".join(problems), problems=problems)
    assert "wrong:\n  one\\x1b\\nforged\n  two" == displayed_error(error)


def test_tables_escape_titles_headings_and_cells(capsys):
    """A table shows markup as text and escapes everywhere."""
    table(f"{EVIL}[bold]t", [f"{EVIL}[red]h"], [[f"{EVIL}\n[link=x]c"]])
    out = capsys.readouterr().out
    assert not UNSAFE.search(out)
    assert [f"{SHOWN}[bold]t", f"{SHOWN}[red]h", rf"{SHOWN}\n[link=x]c"] == out.splitlines()


@pytest.mark.parametrize(
    "command",
    [
        "query trades",
        "latest A",
        "inventory",
        "batches",
        "quarantine list",
        "quarantine show 1",
        "validate t.csv",
        "quarantine show 1 --json",
        "latest A --json",
    ],
)
@pytest.mark.usefixtures("folder")
def test_commands_escape_what_is_stored(command):
    """Commands for people, and their JSON, print nothing of the data that a terminal obeys."""
    result = fpa(*command.split())
    assert result.exit_code == ("validate" in command)
    assert not UNSAFE.search(result.output)
    if command in {"query trades", "latest A", "quarantine show 1"}:
        assert r"\x1b]0;PWNED" in result.output or r"\u001b]0;PWNED" in result.output
    if command == "inventory":
        assert "[red]A[/red]" in result.output


@pytest.mark.usefixtures("folder")
def test_hostile_headers_and_file_names_are_escaped():
    """The header of a file that is refused, columns that are not read, and the names of files are escaped."""
    name = "e\x1b[31m.csv" if sys.platform != "win32" else "e\u202e.csv"
    Path(name).write_text(f"Date,Op{EVIL}en,close\n2024-05-01,1,2\n", encoding="utf-8")
    refused = fpa("ingest", name)
    assert refused.exit_code == 7
    assert not UNSAFE.search(refused.output)
    Path(name).write_text(f"symbol,timestamp,price,size,{EVIL}\nA,2024-05-01T14:30:00Z,9,1,x\n", encoding="utf-8")
    stored = fpa("ingest", name)
    assert stored.exit_code == 0
    assert SHOWN in stored.output
    for result in (stored, fpa("batches"), fpa("validate", name), fpa("ingest", name, "t.csv", "missing\x1b")):
        assert not UNSAFE.search(result.output)
    usage = fpa("query", "trades", "--where", EVIL)
    assert usage.exit_code == 2
    assert not UNSAFE.search(usage.output)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.usefixtures("folder")
def test_a_pipe_gets_the_data_as_they_are(form):
    """CSV in a pipe holds the bytes of the file, and JSON Lines the values."""
    out = fpa("query", "trades", "--format", form).stdout_bytes.decode()
    if form == "csv":
        assert f'"{EVIL}\nforged,line"' in out
    else:
        assert f"{EVIL}\nforged,line" == json.loads(out.split("\n")[0])["conditions"]


@posix
@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("query trades --format csv", 3),
        ("query trades --format jsonl", 2),
        ("quarantine export", 2),
        ("quarantine export --format jsonl", 1),
    ],
)
def test_a_terminal_gets_data_escaped(folder, command, lines):
    """On a terminal, CSV and JSON Lines are escaped, and a line feed within a value begins no line."""
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fpa_core", *command.split()], cwd=folder, stdout=terminal, stderr=subprocess.DEVNULL
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            part = os.read(controller, 65_536)
        except OSError:  # Linux says so that the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(controller)
    assert process.wait(60) == 0
    text = seen.decode().replace("\r\n", "\n")
    assert not UNSAFE.search(text)
    assert "PWNED" in text
    assert lines == text.count("\n")


def _process(folder: Path, command: str, redirection: str) -> tuple[int, str]:
    shell = f'"{sys.executable}" -m fpa_core {command} {redirection}'
    done = subprocess.run(
        ["/bin/sh", "-c", shell], cwd=folder, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    return done.returncode, done.stderr


@posix
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["inventory", "query trades", "query trades --format csv", "batches --json"])
def test_output_that_fails_is_an_error(folder, command, redirection):
    """A full or closed standard output gives one message and exit code 8."""
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    code, err = _process(folder, command, redirection)
    assert code == 8
    assert err.startswith("error: standard output cannot be written: ")
    assert err.count("\n") == 1


@posix
@pytest.mark.parametrize("option", ["", "--json"])
def test_a_lost_receipt_names_the_batch_that_is_stored(folder, option):
    """When the receipt cannot be printed, the error says that the batch is stored, and it is."""
    code, err = _process(folder, f"ingest {option} t.csv", ">&-")
    assert code == 8
    assert "stored: batch 2" in err
    assert "\n2 " in re.sub(" +", " ", fpa("batches").output).replace("\n ", "\n")


@posix
def test_help_to_a_full_disk_is_an_error(folder):
    """What click prints itself ends in the same message."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    code, err = _process(folder, "--help", ">/dev/full")
    assert (8, 1) == (code, err.count("\n"))


@posix
def test_a_broken_pipe_ends_quietly(folder):
    """A reader that has gone gives no message."""
    for command in ("inventory", "query trades --format csv"):
        reader, writer = os.pipe()
        os.close(reader)
        command_line = [sys.executable, "-m", "fpa_core", *command.split()]
        done = subprocess.run(command_line, cwd=folder, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
        os.close(writer)
        assert (141, b"") == (done.returncode, done.stderr)


def test_the_text_log_cannot_be_forged(capsys):
    """A message is one line whatever it quotes, and no line of a traceback looks like one of the log."""
    configure()
    forged = "x\n2026-01-01 00:00:00 CRITICAL fpa: FORGED\x1b"
    logging.getLogger("fpa").warning("value %s", forged)
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("fpa").exception("failed")
    first, *rest = capsys.readouterr().err.split("\n")
    assert first.endswith(r"value x\n2026-01-01 00:00:00 CRITICAL fpa: FORGED\x1b")
    assert rest[0].endswith("ERROR fpa: failed")
    assert rest[1] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest[1:-1])
    assert not any(UNSAFE.search(line) for line in rest)


def test_the_json_log_is_safe_for_terminals(capsys):
    """A line of the JSON log holds no control character, not even DEL or C1, and the value can be read from it."""
    configure(LoggingSection(format=LogFormat.JSON))
    logging.getLogger("fpa").warning("%s\x7f\ud800", EVIL)
    (line,) = capsys.readouterr().err.rstrip("\n").split("\n")
    assert not UNSAFE.search(line)
    assert f"{EVIL}\x7f\ud800" == json.loads(line)["message"]

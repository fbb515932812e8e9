"""What the tests of the documentation know of Markdown: pages, fenced blocks, links, anchors; and how to run what a page shows.

The conventions are described in CONTRIBUTING.md, under "Documentation".
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

from attrs import frozen

__all__ = ["ROOT", "Block", "Session", "anchors", "blocks", "links", "pages", "without_code"]

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Return every Markdown file of the project."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    ]


@frozen
class Block:
    """A fenced block: its language, the rest of its first line, the comment above it, its text, and its line in the page."""

    language: str
    options: str
    note: str
    body: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        language, _, options = match["info"].strip().partition(" ")
        yield Block(language, options, match["note"] or "", match["body"], text.count("\n", 0, match.start("body")) + 1)


def without_code(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", without_code(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as code hosts make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(without_code(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def _lacks(block: Block) -> bool:
    """Return whether a module that a block needs is not installed."""
    _, said, names = block.note.partition("needs: ")
    return bool(said) and not all(map(find_spec, names.split(", ")))


class Session:
    """Somebody who follows a page, from top to bottom, in a folder of their own."""

    def __init__(
        self, page: Path, folder: Path, setenv: Callable[[str, str], None], path_add: Callable[[str], None]
    ) -> None:
        self.page = page
        self.folder = folder
        self._setenv = setenv
        self._path_add = path_add
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._status = 0
        self._printed: str | None = ""

    def follow(self) -> None:
        """Do what the page says, block by block."""
        for block in blocks(self.page):
            where = f"{self.page.relative_to(ROOT)}:{block.line}"
            if block.note == "skip":
                continue
            if _lacks(block):
                self._printed = None
                continue
            if block.note.startswith("file: "):
                target = self.folder / block.note.removeprefix("file: ")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.body, encoding="utf-8")
            elif block.note == "prints":
                if self._printed is not None:
                    _compare(block.body, self._printed, where)
            elif block.language == "python" and not block.options:
                self._python(block, where)
            elif block.language == "console":
                self._console(block, where)

    def _python(self, block: Block, where: str) -> None:
        code = compile("\n" * block.line + block.body, where, "exec")
        with _captured() as read, contextlib.chdir(self.folder):
            exec(code, self._names)
        self._printed = read()

    def _console(self, block: Block, where: str) -> None:
        commands = re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]
        for number, text in enumerate(commands):
            command, _, shown = text.partition("\n")
            output = self._run(command)
            if output is None:
                continue
            asks = number + 1 < len(commands) and commands[number + 1].startswith("echo $?")
            assert self._status == 0 or asks, f"{where}: `{command}` ended with {self._status}:\n{output}"
            if shown.strip():
                _compare(shown, output, f"{where}: `{command}`")

    def _run(self, command: str) -> str | None:
        """Run a command and return its output; None for one that is not for a test to run."""
        if command == "echo $?":
            output, self._status = f"{self._status}\n", 0
            return output
        words = shlex.split(command)
        variables = {}
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        match words:
            case ["cd", folder]:
                self.folder = (self.folder / folder).resolve()
            case ["export", assignment]:
                self._setenv(*assignment.split("=", 1))
            case ["pip", "install", "-e", project]:
                self._install(self.folder / project)
            case ["pytest", *arguments]:
                return self._python_module("pytest", *arguments)
            case ["python", script] if script.endswith(".py"):
                return self._python_module(script)
            case ["fpa", *arguments] if not {"|", ">"} & set(arguments):
                return self._fpa(arguments, variables)
        return None

    def _fpa(self, arguments: list[str], variables: dict[str, str]) -> str:
        from fpa_core.cli.main import main

        self._status = 0
        with _captured() as read, contextlib.chdir(self.folder), mock.patch.dict(os.environ, variables):
            try:
                main(arguments)
            except SystemExit as end:
                self._status = int(end.code or 0)
            finally:
                _drop_logging()
        return read()

    def _python_module(self, what: str, *arguments: str) -> str:
        command = [sys.executable, *([what] if what.endswith(".py") else ["-m", what]), *arguments]
        path = [str(ROOT / "tests"), *filter(None, sys.path)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTEST_PLUGINS": "few_examples"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        self._status = done.returncode
        return done.stdout + done.stderr

    def _install(self, project: Path) -> None:
        """Make a project known to Python as an editable installation would, without a build."""
        about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name, version = about["name"], about["version"]
        record = project / f"{name.replace('-', '_')}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        points = "".join(
            f"[{group}]\n" + "".join(f"{point} = {target}\n" for point, target in made.items())
            for group, made in about["entry-points"].items()
        )
        (record / "entry_points.txt").write_text(points, encoding="utf-8")
        self._path_add(str(project.resolve()))


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """Collect what is written to the two standard streams, as text or as bytes."""
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="utf-8", write_through=True)

    def read() -> str:
        stream.flush()
        return content.getvalue().decode("utf-8")

    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield read


def _drop_logging() -> None:
    logger = logging.getLogger("fpa")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True


def _compare(shown: str, actual: str, where: str) -> None:
    """Hold what a page shows against what came; ``...`` stands for anything, and blanks that align columns for any number of them."""
    pattern = ".*?".join(re.sub(r"(?:\\ ){2,}", " {2,}", re.escape(part)) for part in shown.rstrip().split("..."))
    assert re.fullmatch(pattern, actual.rstrip(), re.DOTALL), f"{where} shows\n{shown}\nbut there came\n{actual}"

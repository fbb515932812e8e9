"""The environment of the peers: theirs alone, so that what they need never meets what the project needs."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["CACHE", "prepare", "python_of"]

HERE = Path(__file__).parent
CACHE = HERE / ".env"


def python_of(folder: Path) -> Path:
    """Return the interpreter of the environment in *folder*."""
    return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(folder: Path, listing: str = "peers.txt") -> None:
    """Make the environment and install what can be installed of *listing*; say what cannot."""
    python = python_of(folder)
    if not python.exists():
        print(f"making an environment for the peers in {folder / 'venv'}")
        venv.create(folder / "venv", with_pip=True)
    for line in (HERE / listing).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = next((said for said in done.stderr.splitlines() if said.startswith("ERROR")), "pip failed")
        print(f"  {line:32} {'installed' if done.returncode == 0 else reason}", file=sys.stdout, flush=True)

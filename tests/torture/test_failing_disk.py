"""A disk that fails at every single event."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from failing_disk import FAILURES, sweep


@pytest.mark.torture
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_every_event_of_the_disk_fails(
    tmp_path: Path, failure: str, lasting: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever event of the disk fails, answers say the truth about what is stored."""
    swept = sweep(tmp_path, failure, lasting=lasting)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{failure}, lasting {lasting}: {swept.runs} runs, {swept.failed} steps failed, {swept.done} done\n"
        )
    assert [] == swept.faults

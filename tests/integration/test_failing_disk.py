"""A disk that is full, or fails, ends a write in a typed error; what was acknowledged is there, what failed is not, and the store goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing_disk import FAILURES, sweep


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_the_disk_fails(tmp_path: Path, failure: str, lasting: bool) -> None:
    """Whichever of some events of the disk fails, answers say the truth about what is stored."""
    swept = sweep(tmp_path, failure, lasting=lasting, every=37)
    assert [] == swept.faults
    assert 3 <= swept.runs <= swept.failed + 10

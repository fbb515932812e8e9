"""What the files of ``tests/cases`` become, worked out by hand from each file, its EXPECT.txt and the law of reading.

The law: a value is read as what it certainly is, or as what the user said it is; otherwise the file or the row is refused with the cause, the
evidence and the option that mends it. A bar of a day or more belongs to a calendar day: a midnight in a zone is that date, stored as midnight UTC.
That rule stands over what an EXPECT.txt says of an instant.
"""

from __future__ import annotations

from expected_of_cases.accounts import ACCOUNTS
from expected_of_cases.entries import ENTRIES, Entry
from expected_of_cases.shapes import SHAPES
from expected_of_cases.traps import TRAPS
from expected_of_cases.vendors import VENDORS

__all__ = ["CASES", "ENTRIES", "Entry"]

CASES: dict[str, tuple[Entry, ...]] = {**VENDORS, **SHAPES, **ACCOUNTS, **TRAPS}

"""The catalog of sealed segments: what is known of a segment without reading it."""

from __future__ import annotations

import json
from typing import Any

from attrs import astuple, frozen

from fpa_core.engine.damage import decoding
from fpa_core.kinds import Kind
from fpa_core.numbers import ns_text

__all__ = ["LEAST_ROWS", "SEGMENT_ROWS", "RetiredSegment", "SegmentInfo", "last_values"]

SEGMENT_ROWS = 16_384
"""Rows of a full segment: enough to compress well, few enough to be read for a single row."""

LEAST_ROWS = 2_048
"""Rows from which a segment is worth its overhead; fewer stay hot until more have come."""


@frozen
class SegmentInfo:
    """What the catalog says of a segment.

    :ivar id: given by the store; 0 for a segment that is still to be added.
    :ivar first_batch: the earliest batch that brought one of its rows, and ``last_batch`` the latest that brought or restored one.
    :ivar last_row: its last row as JSON, by public column names, so that the latest record needs no decoding.
    :ivar checksum: that of its header, in which those of its columns stand.
    :ivar bytes: its length.
    """

    id: int
    kind: Kind
    subject: str
    first_ns: int
    last_ns: int
    rows: int
    first_batch: int
    last_batch: int
    last_row: str
    checksum: bytes
    bytes: int

    def __str__(self) -> str:
        return f"the {self._what} of {self.kind.name} of {self.subject} from {ns_text(self.first_ns)} to {ns_text(self.last_ns)}"

    @property
    def _what(self) -> str:
        return "segment"


@frozen
class RetiredSegment(SegmentInfo):
    """What the catalog says of a segment whose rows are history, all retired by one batch for one reason.

    :ivar retired_by: the batch that retired its rows.
    :ivar reason: why, as for rows of the history.
    """

    retired_by: int
    reason: str

    @classmethod
    def of(cls, info: SegmentInfo, by: int, reason: str) -> RetiredSegment:
        """Return what the catalog says of a segment once a batch has retired it."""
        return cls(*astuple(info, recurse=False), by, reason)  # type: ignore[call-arg]  # the fields of SegmentInfo come first

    @property
    def _what(self) -> str:
        return "retired segment"


def last_values(last_row: str, segment: object) -> dict[str, Any]:
    """Return the values of the last row of a segment, by public column names, from what the catalog says of it."""
    with decoding("segments", segment):
        return dict(json.loads(last_row))

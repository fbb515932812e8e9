"""Convert local times to UTC, a whole column at a time, by the rules of :mod:`zoneinfo`.

The offset of a zone hardly ever changes within an hour: it is asked for once for each hour that occurs, and for each value only in the few
hours in which clocks are set.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

__all__ = ["to_local", "to_utc"]

_HOUR = 3600 * 10**9
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a local time
_AWARE = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Nanoseconds = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def to_local(utc: Nanoseconds, zone: ZoneInfo) -> Nanoseconds:
    """Return what clocks in *zone* show at instants, as nanoseconds since 1970 as if it were UTC."""
    if zone.key == "UTC":
        return utc
    hours, places = np.unique(utc // _HOUR, return_inverse=True)
    first = [_offset_at(int(hour) * 3600, zone) for hour in hours]
    last = [_offset_at(int(hour) * 3600 + 3599, zone) for hour in hours]
    offsets = np.array(first, np.int64)[places]
    changing = (np.array(first) != np.array(last))[places]
    for index in np.flatnonzero(changing):
        offsets[index] = _offset_at(int(utc[index]) // 10**9, zone)
    return utc + offsets * 10**9


def to_utc(local: Nanoseconds, zone: ZoneInfo, *, later: bool = False) -> tuple[Nanoseconds, Flags, Flags]:
    """Return the instants at which clocks in *zone* show local times, which of these occur twice, and which never.

    :param later: whether the second of two instants is taken.
    """
    hours, places = np.unique(local // _HOUR, return_inverse=True)
    ends = [
        {_offset_of(int(hour) * 3600 + second, zone, fold) for second in (0, 3599) for fold in (0, 1)} for hour in hours
    ]
    offsets = np.array([min(found) for found in ends], np.int64)[places]
    changing = np.array([len(found) > 1 for found in ends], np.bool_)[places]
    twice, never = np.zeros(len(local), np.bool_), np.zeros(len(local), np.bool_)
    for index in np.flatnonzero(changing):
        second = int(local[index]) // 10**9
        early, late = _offset_of(second, zone, 0), _offset_of(second, zone, 1)
        # Where clocks are set back the first reading has the larger offset, where they are set forward the smaller.
        twice[index], never[index] = early > late, early < late
        offsets[index] = late if later else early
    return local - offsets * 10**9, twice, never


def _offset_at(second: int, zone: ZoneInfo) -> int:
    """Return the offset, in seconds, at an instant."""
    try:
        found = (_AWARE + timedelta(seconds=second)).astimezone(zone).utcoffset()
    except OverflowError:  # a day from the end of what a datetime holds
        found = None
    return 0 if found is None else found // _SECOND


def _offset_of(second: int, zone: ZoneInfo, fold: int) -> int:
    """Return the offset, in seconds, that a local time has."""
    found = (_EPOCH + timedelta(seconds=second)).replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if found is None else found // _SECOND

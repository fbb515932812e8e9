"""The built-in formats of vendors are recognised by their looks and come out as the vendors mean them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from vendor_cases import CASES

from fpa_core.conversion import from_table
from fpa_core.exceptions import DataError
from fpa_core.formats import Format
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource
from fpa_plugins.files.vendors import BUILT_IN

SAMPLES = Path(__file__).parents[1] / "formats"
OFFERS = {offer.name: offer for offer in BUILT_IN}


def sample(name: str) -> Path:
    """Return the one file in the folder of a format."""
    (path,) = (SAMPLES / name).iterdir()
    return path


def request(path: Path, options: dict[str, Any], name: str | None = None) -> SourceRequest:
    """Return the request to read *path* as the user says it."""
    own = {key: options[key] for key in ("symbol", "interval", "account") if key in options}
    form = Format(**{key: value for key, value in options.items() if key not in own})
    return SourceRequest(str(path), **own, format=form, format_name=name, formats=OFFERS)


def records_of(path: Path, name: str | None = None, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return the records of a file and the rows that are set aside."""
    chunks = list(FilesSource().read(request(path, options, name)))
    records = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    return records, [reject for chunk in chunks for reject in chunk.rejects]


def recognised(path: Path, **options: Any) -> str | None:
    """Return the name of the format that a file is recognised as."""
    (seen,) = FilesSource().sniff(request(path, options))
    return seen.format


@pytest.mark.parametrize("name", CASES)
def test_a_sample_is_read_as_the_vendor_means_it(name: str):
    """A sample of a vendor's file gives exactly the records it stands for, or is refused with the reason."""
    case = CASES[name]
    if case.refusal is not None:
        with pytest.raises(DataError) as caught:
            records_of(sample(name), **case.options)
        assert case.refusal in str(caught.value)
        return
    records, rejects = records_of(sample(name), **case.options)
    assert list(case.records) == records
    assert case.set_aside == len(rejects), rejects


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.part_of is None])
def test_a_sample_is_read_as_what_it_is_called(name: str):
    """A format that is named gives what it gives when it is recognised."""
    case = CASES[name]
    if case.refusal is not None:
        with pytest.raises(DataError, match=case.refusal):
            records_of(sample(name), name, **case.options)
        return
    assert list(case.records) == records_of(sample(name), name, **case.options)[0]

"""Reports: the findings of the rules on files, and profiles of their data, as one HTML page.

:func:`examine` reads a file once and gathers a :class:`FileReport`; :func:`page` writes one or several as self-contained HTML.
"""

from fpa_core.report.filereport import FileReport
from fpa_core.report.gathering import examine
from fpa_core.report.page import page
from fpa_core.report.provenance import Provenance, provenance_of

__all__ = ["FileReport", "Provenance", "examine", "page", "provenance_of"]

"""Reports: the findings of the rules on files, and profiles of their data, as one HTML page.

:func:`examine` reads a file once and gathers a :class:`FileReport`; :func:`page` writes one or several as self-contained HTML.
"""

from fpa_core.report.gathering import FileReport, examine
from fpa_core.report.page import page

__all__ = ["FileReport", "examine", "page"]

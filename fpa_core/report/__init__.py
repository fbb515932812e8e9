"""Reports: what the rules say of files, and what the files are like, as one page for people.

:func:`examine` reads a file once and gathers a :class:`FileReport`; :func:`page` writes one or several as self-contained HTML.
"""

from fpa_core.report.gathering import FileReport, examine
from fpa_core.report.page import page

__all__ = ["FileReport", "examine", "page"]

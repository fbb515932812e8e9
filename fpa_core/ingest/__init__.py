"""Ingest: validate chunks of rows, store the valid ones as a batch, and quarantine the others."""

from fpa_core.ingest.batch import ingest, notify_quarantined
from fpa_core.ingest.chunks import Progress
from fpa_core.ingest.live import LiveValidator
from fpa_core.ingest.validation import examine

__all__ = ["LiveValidator", "Progress", "examine", "ingest", "notify_quarantined"]

"""The store's contracts, kept once over a small port (see :mod:`fpa_core.engine.tables`)."""

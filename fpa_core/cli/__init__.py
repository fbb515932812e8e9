"""The command line ``fpa``."""

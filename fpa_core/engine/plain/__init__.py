"""The port over plain Python structures, for what needs no database."""

"""Segments: rows of one kind and one subject as few bytes, and back."""

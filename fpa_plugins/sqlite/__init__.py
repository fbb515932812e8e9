"""The SQLite store: one file, exact rows, durable batches. The default."""

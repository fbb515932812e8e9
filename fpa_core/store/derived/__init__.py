"""Tables derived from stored rows when they are read: bars, and trades with their quotes."""

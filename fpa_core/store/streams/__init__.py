"""Live streams: records written one at a time and made durable in groups."""

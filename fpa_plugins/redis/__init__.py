"""The ``redis`` cache: entries on a Redis or Valkey server that many machines share."""

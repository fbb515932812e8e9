"""The PostgreSQL store: the same contracts on a server that many machines share."""

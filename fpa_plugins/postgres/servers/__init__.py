"""What concerns the server and not the tables: where it is, its replicas and commits, its roles, and notices of what others commit."""

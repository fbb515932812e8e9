"""Arrow columns and tables of exact values: everything below the store that needs pyarrow."""

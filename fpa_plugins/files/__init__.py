"""The source ``files``: CSV, JSON Lines and Parquet, plain or compressed, read into exact columns."""

"""Tables of Apache Iceberg, to publish to; needs the extra ``lake``."""

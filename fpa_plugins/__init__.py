"""What ships in the box: stores, caches, rules and sources, each a plugin like any other."""

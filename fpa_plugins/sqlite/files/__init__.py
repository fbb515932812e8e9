"""What concerns the file and not the tables: how it is made, opened, encrypted, checked and copied, and what a fork means to it."""

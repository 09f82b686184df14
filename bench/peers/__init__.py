"""What others would use instead of the archiver, each in an environment of its own; `make bench-peers`."""

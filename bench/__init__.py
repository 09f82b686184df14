"""What the archiver costs, beside the bounds of the database and what else one would use; `make bench`."""

"""Everything that speaks SQL. Functions take a transaction: the use case decides what commits together."""

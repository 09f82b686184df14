"""One folder a provider; each knows its provider's JSON, and nothing of the others or of SQL."""

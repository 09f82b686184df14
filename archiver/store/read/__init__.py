"""Reads for people: how the archive stands, and the messages of a filter, a conversation or a page."""

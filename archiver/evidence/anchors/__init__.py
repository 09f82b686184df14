"""Anchors: copies of checkpoints in places that the database's administrator does not reach; a module for every sink.

Every call to a sink runs in a child process with a time limit: what hangs on a mount that is away cannot be interrupted
in a thread, and no sink may hold up a pull. `calls` makes them; nothing is imported here, so that a child starts fast.
"""

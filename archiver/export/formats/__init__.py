"""One file a format; each knows only the model."""

"""The search index: what a text is folded to, how it is indexed, how it is asked."""

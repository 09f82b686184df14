"""Easemob (环信), abroad Agora Chat: the REST calls that archiving needs."""

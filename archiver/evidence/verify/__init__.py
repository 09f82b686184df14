"""Verification: what was sealed is compared with what is there, and what is there with its seal."""

"""The ledger at work: begun, filled, signed, anchored outside, and verified. Its formats are pure modules beside it."""

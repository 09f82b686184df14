"""What the provider reports by callback: received into a spool, read in as events, compared with the record."""

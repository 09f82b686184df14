"""For whoever owns the database: schema, roles, comments, distribution, health, a copy."""

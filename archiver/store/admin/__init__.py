"""For the owner of the database: schema, roles, comments, distribution, health, a copy."""

"""What messages point to: fetched, checked, stored by its SHA-256."""

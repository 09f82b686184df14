"""From a source to the database: plan windows, claim them, walk them page by page, close what is proved."""

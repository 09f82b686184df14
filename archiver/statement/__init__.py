"""Is this range archived? The answer from the database, in a language and a zone, as text, HTML or JSON."""

from archiver.statement.answer import Statement, of, read
from archiver.statement.wording import StatementWording, page, text

__all__ = ["Statement", "StatementWording", "of", "page", "read", "text"]

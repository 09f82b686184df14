"""Is this range archived? The answer from the database, in a language and a zone, as text, HTML or JSON."""

from archiver.statement.answer import SourceStatement, Statement, of, of_source, read
from archiver.statement.wording import StatementWording, page, text

__all__ = ["SourceStatement", "Statement", "StatementWording", "of", "of_source", "page", "read", "text"]

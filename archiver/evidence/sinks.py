"""The configured sinks, as publishing and verification use them."""

from __future__ import annotations

from archiver import signing
from archiver.config import Settings
from archiver.evidence import beginning
from archiver.evidence.publish import Publisher
from archiver.store.engine import Store


def publisher(store: Store, settings: Settings) -> Publisher:
    """What publishes the ledger of this archive. Raises ConfigurationError without [evidence] or its key."""
    section = beginning.section(settings)
    return Publisher(store, section, signing.load(section.key_file))

"""The configuration: a TOML file, overlaid by the environment, understood as a whole or refused with every problem.

Nothing here reads the clock or the process's environment; both come in as arguments.
"""

from archiver.config.callbacks import CallbackApp, Callbacks
from archiver.config.evidence import Evidence, shortcomings
from archiver.config.reading import DEFAULT_PATH, load
from archiver.config.review import Review
from archiver.config.settings import (
    Alerts,
    App,
    Attachments,
    Canary,
    Database,
    Display,
    Http,
    Lifecycle,
    Metrics,
    Schedule,
    Settings,
    describe,
    example,
)
from archiver.config.values import Rate, duration_text, parse_duration, parse_time

__all__ = [
    "DEFAULT_PATH",
    "Alerts",
    "App",
    "Attachments",
    "CallbackApp",
    "Callbacks",
    "Canary",
    "Database",
    "Display",
    "Evidence",
    "Http",
    "Lifecycle",
    "Metrics",
    "Rate",
    "Review",
    "Schedule",
    "Settings",
    "describe",
    "duration_text",
    "example",
    "load",
    "parse_duration",
    "parse_time",
    "shortcomings",
]

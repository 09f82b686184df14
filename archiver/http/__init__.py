"""HTTP for all rooms; no other module imports requests, urllib3 or tenacity, and no other one repeats a request."""

from archiver.http.answers import Answer, envelope
from archiver.http.client import Client, Limits, Options

__all__ = ["Answer", "Client", "Limits", "Options", "envelope"]

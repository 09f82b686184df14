"""HTTP for all rooms; no other module imports requests, urllib3 or tenacity, and no other one repeats a request."""

from archiver.http.client import Client, Limits, RequestOptions, haste
from archiver.http.download import Downloaded, DownloadLimits, Progress, SignedLink, download
from archiver.http.public import public_adapter
from archiver.http.response import Answer, envelope
from archiver.http.robots import Form, body, signed
from archiver.http.transfer import Transfer, transfer
from archiver.http.webhook import call, get, post
from archiver.http.wire import Adapter, Way

__all__ = [
    "Adapter",
    "Answer",
    "Client",
    "DownloadLimits",
    "Downloaded",
    "Form",
    "Limits",
    "Progress",
    "RequestOptions",
    "SignedLink",
    "Transfer",
    "Way",
    "body",
    "call",
    "download",
    "envelope",
    "get",
    "haste",
    "post",
    "public_adapter",
    "signed",
    "transfer",
]

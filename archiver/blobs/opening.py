"""How stores are opened, and obstore's errors in our words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore import exceptions as obstore_errors
from obstore.store import S3Store

from archiver import host
from archiver.errors import ConfigurationError, TryAgainLater

FAILURES = (obstore_errors.BaseError, OSError)


def s3(url: str, endpoint: str | None, *, patience_s: int, checksums: bool = False) -> S3Store:
    """A bucket. `patience_s`: for one request, and for all its repetitions together.

    `checksums`: sent along with what is written, as buckets with object lock demand.
    """
    parts = urlsplit(url)
    settings: dict[str, Any] = {"copy_if_not_exists": "multipart", "conditional_put": "etag"}
    if endpoint:
        settings["endpoint"] = endpoint
    if checksums:
        settings["checksum_algorithm"] = "SHA256"
    options: Any = {"allow_http": (endpoint or "").startswith("http://"), "timeout": f"{patience_s}s"}
    retries: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=patience_s)}
    prefix = unquote(parts.path).strip("/")
    return S3Store(parts.netloc, prefix=prefix or None, client_options=options, retry_config=retries, **settings)


@contextmanager
def translated_errors(
    done: str, what: str = "the store of attachments", key: str = "[attachments] store"
) -> Iterator[None]:
    """obstore's errors in our words: the kind alone, as their texts quote requests.

    `what` is used, and `key` names it in the configuration.
    """
    try:
        yield
    except (obstore_errors.UnknownConfigurationKeyError, obstore_errors.InvalidPathError) as error:
        raise ConfigurationError(f"{key} cannot be used: {type(error).__name__}") from None
    except FAILURES as error:
        text = f"{what} could not be {done}: {_kind(error)}"
        number = _errno(error)
        if number is not None and not host.passes(number):
            raise ConfigurationError(text, hint="a folder in which the user who runs this may write") from None
        if number is None and (isinstance(error, _FOR_GOOD) or _status(error) in ("403", "404")):
            raise ConfigurationError(text, hint=_S3_REMEDY.format(key=key)) from None
        raise TryAgainLater(text) from None


_FOR_GOOD = (
    obstore_errors.PermissionDeniedError,
    obstore_errors.UnauthenticatedError,
    obstore_errors.NotFoundError,  # of a content it is caught where it arises; here it is the bucket
    FileNotFoundError,
)
_S3_REMEDY = "the bucket's name in {key}; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and their rights there"


def _errno(error: Exception) -> int | None:
    """The system's number for what a store on this machine failed by: obstore has it in its text alone."""
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"\(os error ([0-9]+)\)", str(error))
    return int(match[1]) if match else None


def _kind(error: Exception) -> str:
    number = _errno(error)
    if number is not None:
        return os.strerror(number)
    status = _status(error)
    return type(error).__name__ + (f" ({status})" if status.isdigit() else "")


def _status(error: Exception) -> str:
    """Of HTTP, which some errors have in their text alone."""
    return str(error).partition("non-2xx status code: ")[2][:3]

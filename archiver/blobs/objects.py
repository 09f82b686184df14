"""Small objects in a bucket by name: written once, listed in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import obstore
from obstore import exceptions as obstore_errors

from archiver.blobs.opening import FAILURES, s3, translated_errors

_PATIENCE_S = 8
_translated = partial(translated_errors, what="the bucket", key="url of this sink")


class Objects:
    """A bucket, below a prefix, at an `s3://` URL. Errors as those of `Blobs`; credentials from the environment."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        with _translated("opened"):
            self._store = s3(url, endpoint, patience_s=_PATIENCE_S, checksums=True)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object; False where one of this name is there, which stays as it is."""
        with _translated("written"), suppress(obstore_errors.AlreadyExistsError):
            obstore.put(self._store, name, data, mode="create")
            return True
        return False

    def get(self, name: str) -> bytes | None:
        """What an object holds; None where there is none."""
        with _translated("read"):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except (obstore_errors.NotFoundError, FileNotFoundError):
                return None

    def names_after(self, name: str) -> Iterator[str]:
        """The names that come after this one, in order."""
        with _translated("listed"):
            for batch in obstore.list(self._store, offset=name, chunk_size=1000):
                yield from sorted(entry["path"] for entry in batch)

    def may_replace(self, name: str) -> bool:
        """Whether an object that is there can be lost by writing over it: not where the bucket keeps its versions."""
        with suppress(*FAILURES):
            return obstore.put(self._store, name, b"replaced", mode="overwrite").get("version") is None
        return False

    def may_delete(self, name: str) -> bool:
        """Whether deleting an object takes it away for good: not where the bucket keeps its versions."""
        version = None
        with suppress(*FAILURES):  # what writing over it says of versions; `head` of older releases says nothing
            version = obstore.put(self._store, name, b"replaced", mode="overwrite").get("version")
        with suppress(*FAILURES):
            obstore.delete(self._store, name)
            return version is None
        return False

"""The installation's Ed25519 key: its file, signatures and their verification; the one user of `cryptography`.

The file holds the seed (32 bytes) as one line of base64. It signs entries of the ledger and checkpoints, and never lies
in the database.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import secrets
import stat
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from archiver.errors import ConfigurationError

log = logging.getLogger("archiver.evidence")


@dataclass(frozen=True)
class Key:
    """A key that signs. Its seed appears nowhere but in its file."""

    public: bytes
    """32 bytes."""
    _private: Any = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The signature over a message: 64 bytes, always the same ones."""
        return bytes(self._private.sign(message))

    @property
    def id(self) -> str:
        return key_id(self.public)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)


def key_id(public: bytes) -> str:
    """The 8 hexadecimal digits by which entries name their key."""
    return fingerprint(public)[:8]


def fingerprint(public: bytes) -> str:
    """What people compare: SHA-256 of the public key, 64 hexadecimal digits."""
    return sha256(public).hexdigest()


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this key made this signature over this message."""
    invalid, ed25519 = _library()
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (invalid, ValueError):
        return False
    return True


def load(path: Path) -> Key:
    """The key in this file. Raises ConfigurationError where there is none; warns where others may read it."""
    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(
            f"[evidence] key_file: {path} cannot be read: {error.strerror}",
            hint="`archiver evidence init` makes the key; afterwards every host that writes the archive needs a copy",
        ) from None
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        seed = b""
    if len(seed) != 32:
        raise ConfigurationError(
            f"[evidence] key_file: {path} holds no key; it should be one line of 44 characters, as `init` wrote it",
            hint="copy the file again from the host on which `archiver evidence init` ran, or from its backup",
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others than its owner may read %s; chmod 0600 it", path)
    return from_seed(seed)


def from_seed(seed: bytes) -> Key:
    """The key of a seed of 32 bytes."""
    private = _library()[1].Ed25519PrivateKey.from_private_bytes(seed)
    return Key(private.public_key().public_bytes_raw(), private)


def create(path: Path) -> Key:
    """Make a key and its file, mode 0600, safe from a power cut. Raises ConfigurationError where a file is there."""
    seed = secrets.token_bytes(32)
    key = from_seed(seed)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(seed) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"[evidence] key_file: {path} cannot be made: {error.strerror}") from None
    return key


def certificates(path: Path) -> list[Any]:
    """The X.509 certificates in a PEM file."""
    _library()
    from cryptography import x509

    return x509.load_pem_x509_certificates(path.read_bytes())


def _library() -> tuple[type[Exception], Any]:
    """Loaded when it is needed: only archives with evidence need it."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ConfigurationError("[evidence] needs the package cryptography", hint="pip install cryptography") from None
    return InvalidSignature, ed25519

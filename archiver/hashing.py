"""SHA-256 of what is as short as two hashes, of which a tree over a page takes three thousand.

Python's own takes half the time of OpenSSL's there, which is set up anew for every one. It gives the same bytes.
"""

from __future__ import annotations

from hashlib import sha256

__all__ = ["short_sha256"]

try:
    from _sha2 import sha256 as short_sha256  # type: ignore[import-not-found,unused-ignore]  # from 3.12 on
except ImportError:
    try:
        from _sha256 import sha256 as short_sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:  # built without it, as where only validated libraries may hash
        short_sha256 = sha256

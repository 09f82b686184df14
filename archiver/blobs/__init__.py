"""Stores of bytes, in a folder or on S3; no other module knows obstore.

`Blobs`: attachments by the SHA-256 of their content. `Objects`: small objects by name.
"""

from archiver.blobs.contents import Blobs, name_of
from archiver.blobs.objects import Objects

__all__ = ["Blobs", "Objects", "name_of"]

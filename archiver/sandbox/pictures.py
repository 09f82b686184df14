"""Pictures that browsers show: hills under a low sun, 48 by 36 pixels, drawn for this server."""

from __future__ import annotations

import base64

JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABcQERQRDhcUEhQaGBcbIjklIh8fIkYyNSk5UkhXVVFIUE5bZoNvW2F8Yk5QcptzfIeLkpSSWG2g"
    "rJ+OqoOPko3/2wBDARgaGiIeIkMlJUONXlBejY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY3/wAAR"
    "CAAkADADASIAAhEBAxEB/8QAGgAAAwADAQAAAAAAAAAAAAAAAAMFAQIEBv/EACMQAAEDBAICAwEAAAAAAAAAAAEAAgMEERJRITFBoRMycWH/"
    "xAAYAQEAAwEAAAAAAAAAAAAAAAAAAQIDBP/EABsRAQADAQADAAAAAAAAAAAAAAABAhESITFB/9oADAMBAAIRAxEAPwC1kjJLyWskzI25SODR"
    "e1yseHRp2Sze/SVkt4nhsgJ6Tg04xPDb8fiVkusuAbkSLbXC593kjyVWK6iJKyUmvqPmlxa68berdE7XTW1JijwabPd5HgKWuzMYXt8V6Cp+"
    "WLF7rvbvsjafNOyCMvkNgPaiRTGCQSA9djY0l1NS+pkyfwB9W6TIIv4XKaqZUx5N4I+zdJ2S83DM+CQPjNiPat09SyojybwR23SRXVq31MqH"
    "OdO/I3sSB+JSEKZ9sZKeSXH+LVCFAEyKV8Mgew2I9oQpH//Z"
)
"""JFIF."""
WEBP = base64.b64decode(
    "UklGRsIAAABXRUJQVlA4ILYAAAAQBwCdASowACQAPwVyrlArp6SisdZt+XAgiUAXnAe25QVjWyU8X9sdrtVJGq+AgWW25JPGHC6n/16UQAyU"
    "9ZuOAAD+7Fx7P8N+1JlSyTsN9DJY9VG1Grqy0+iU9IJMmuiTiOPoN9AhxpRE+H1Ii0EjLIqxe2sAE2AZ/eXrpWr+CFtSNP9upvX3D00+GXG3"
    "GitBK+BVbvmmuCoGJ5s8MBL/o51Z527knCuiCSNgBr8clA5DGAAAAA=="
)
"""Lossy."""
GIF = base64.b64decode(
    "R0lGODdhMAAkAIIAAPrXp+3AoN+2rdKtucalxLeb0UpdczJGWiwAAAAAMAAkAEAI/wADCBxIsKDBgwgTDhTAsKHDhxAjMgRAsaJFABEHaNzI"
    "caOBjx1DihwZsoDJkyY/qly5EuXJAzBjxnRJ8yTLmzdl6tzJc6ZJhUCDChUosajRhheTRiTAtKlTnB+dSnV6YKpVpi6hav3Ys2vNoWDDih2b"
    "FEDCo2gjlrWYkSRHA25Flo1LEifdux2vEthqQC8BnX6b0uR782VXnzVREs55+PDgxSobS95ZYKzly5gzazZ4cbPYtWYPph2NFDRG0qgfmj6d"
    "urUA0BLvqsS78SJtkSxv0w6MM7Dv30+h+o4J/Oriqzx914RswGXjxImZfzQ5GSZ0m9K5VpcJPbuB7T0fMwkH/zzlePKTAwIAOw=="
)
"""Eight colours."""
_EXIF = b"Exif\0\0II*\0\x08\0\0\0" + bytes(8)
"""A header without entries, and its padding."""
JPEG_EXIF = JPEG[:2] + b"\xff\xe1" + (2 + len(_EXIF)).to_bytes(2, "big") + _EXIF + JPEG[2:]
"""As cameras write it: another segment comes first."""

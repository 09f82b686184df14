"""Checkpoints, keys and entries as texts."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from archiver.evidence.offline.curve import ed25519_verify, sha256

Json = dict[str, Any]


class Wrong(Exception):
    """Something is not as it should be; the text is for people, in Chinese and in English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(zh, en)


NAME, HASH = r"[^\s+]{1,255}", r"[A-Za-z0-9+/]{43}="
SIGNED = r"(?:— " + NAME + r" [A-Za-z0-9+/]+=*(?:\s+|\Z))+"
NOTE = re.compile(rf"(?<![^\s>`])({NAME})\s+(0|[1-9][0-9]{{0,15}})\s+({HASH})\s+({SIGNED})")


class CheckpointText:
    """A checkpoint: so many entries, and the root of the tree over them."""

    def __init__(self, match: re.Match[str]) -> None:
        self.origin, self.size, self.root = match[1], int(match[2]), unbase64(match[3])
        self.name = re.sub(r"#[0-9]+$", "", self.origin)
        self.text = f"{self.origin}\n{self.size}\n{match[3]}\n"
        self.lines = re.findall(rf"— ({NAME}) ([A-Za-z0-9+/]+=*)", match[4])
        self.data = f"{self.text}\n" + "".join(f"— {name} {signature}\n" for name, signature in self.lines)

    def is_signed_by(self, public: bytes) -> bool:
        """Whether a line of this key is there; Wrong where there is one that is not its signature."""
        key_hash = sha256(self.origin.encode() + b"\n\x01" + public).digest()[:4]
        for name, text in self.lines:
            data = unbase64(text)
            if name == self.origin and data[:4] == key_hash:
                if ed25519_verify(public, self.text.encode(), data[4:]):
                    return True
                raise Wrong(f"检查点 {self.size} 的签名不对", f"the signature of checkpoint {self.size} is wrong")
        return False


def notes_in(text: str) -> list[CheckpointText]:
    """All notes in a text: a file of notes, or a chat that was copied."""
    return [CheckpointText(match) for match in NOTE.finditer(text)]


def keys_in(text: str) -> tuple[dict[str, bytes], dict[str, int]]:
    """Public keys by their ids, from lines of name+hash+key, and up to which size of the ledger they count."""
    keys: dict[str, bytes] = {}
    until: dict[str, int] = {}
    for line in text.splitlines():
        match = re.match(rf"\s*({NAME})\+[0-9a-f]{{8}}\+(\S+)(?:\s+until\s+([0-9]+))?\s*$", line)
        if match and len(data := unbase64(match[2])) == 33 and data[0] == 1:
            keys[sha256(data[1:]).hexdigest()[:8]] = data[1:]
            if match[3]:
                until[sha256(data[1:]).hexdigest()[:8]] = int(match[3])
    return keys, until


def unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def raw_of(record: Json) -> bytes:
    """What the provider sent, byte for byte."""
    return unbase64(record["raw_base64"]) if record["raw"] is None else str(record["raw"]).encode()


def canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def shown(text: object) -> str:
    """A text of others for a terminal: nothing in it can steer one."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text)[:200])

"""A key whose signatures are the same in every run, and archives whose writers seal what they store."""

from __future__ import annotations

import pytest

from archiver import signing
from archiver.store.seals import Signer

NAME = "archive.example.com/test"
KEY = signing.from_seed(bytes(range(32)))


@pytest.fixture
def signer() -> Signer:
    return Signer(NAME, KEY.id, KEY.sign)

"""The system's Chromium, driven over the review page. Without it these tests are skipped, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.blobs import Trap

BROWSER = os.environ.get("ARCHIVER_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not BROWSER:
        pytest.skip("no Chromium here: apt-get install chromium, or set ARCHIVER_TEST_CHROMIUM")
    from playwright.sync_api import sync_playwright

    options = ["--disable-dev-shm-usage", "--disable-background-networking"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to run as root with it
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Listens, and counts who connects."""
    caught = Trap()
    yield caught
    caught.close()

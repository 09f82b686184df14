"""Which tests run where, what fails a run, and that nothing leaks; the fixtures are in tests/fixtures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from zlib import crc32

import hypothesis
import pytest

from archiver import logs
from tests import canaries
from tests.postgres import scratch

pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.archive",
    "tests.fixtures.http",
    "tests.fixtures.authority",
    "tests.fixtures.blobs",
    "tests.fixtures.service",
    "tests.fixtures.store",
    "tests.fixtures.evidence",
    "tests.fixtures.cluster",
]

# Where the machine switches bytecode off, pytest rewrites every test module in every process, and every command that a
# test starts is compiled anew: half of the time that the tests take.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_SLOW = [hypothesis.HealthCheck.too_slow]  # a busy machine is no fault of a test's
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=_SLOW)
hypothesis.settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


def pytest_configure() -> None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", scratch())  # also of the workers, which inherit it
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # the machine's; tests that are about them set their own
        os.environ.pop(name, None)


# Here both databases are what most tests are about, or cost next to nothing.
_BOTH = ("migrations", "unit")


# Many pulls, and little that depends on the database: half of these on either; of tests/claim, PostgreSQL does half.
_ON_ONE = ("test_nothing_is_lost", "test_what_came_of_a_damaged_file_is_kept_before_the_provider_drops_it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The short run tries a test of a whole command on one of the databases, half of them on either; the full on both.

    Which one hangs on the test's name alone, so that it stays the same whatever else is collected.
    """
    _skip_what_no_cluster_can(items)
    pairs: dict[str, dict[str, pytest.Item]] = {}
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        kind = params.get("database", params.get("new_database"))
        if kind in ("sqlite", "postgresql") and item.path.parent.name not in _BOTH:
            pairs.setdefault(item.nodeid.replace(kind, "*"), {})[kind] = item
    spared = []
    for name, pair in pairs.items():
        other = pair.get(("sqlite", "postgresql")[crc32(name.encode()) % 2])
        if len(pair) != 2 or other is None:
            continue
        is_claim = other.path.parent.name == "claim" and "[postgresql" in other.name
        if is_claim or name.partition("::")[2].startswith(_ON_ONE):
            spared.append(other)
        elif not any(item.get_closest_marker("full") for item in pair.values()):
            other.add_marker("full")
    if spared:
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in spared]


def _skip_what_no_cluster_can(items: list[pytest.Item]) -> None:
    """Where the tests run on a cluster, skip those that say why they cannot; their halves on SQLite stay."""
    if "ARCHIVER_TEST_CITUS_URL" not in os.environ:
        return
    for item in items:
        mark = item.get_closest_marker("one_server")
        if mark is not None and "sqlite" not in item.nodeid.partition("[")[2]:
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--no-skips") and _skipped and not hasattr(session.config, "workerinput"):
        print("\nskipped, and nothing may be skipped here:", *_skipped, sep="\n  ")  # noqa: T201 - for who reads the run
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="session")
def _listening() -> Iterator[None]:
    with canaries.listening():
        yield


@pytest.fixture(autouse=True)
def _secrets_end_with_their_test() -> Iterator[None]:
    """A process hides every secret it has met, and a test's words must not be another test's secrets."""
    before, renewed = dict(logs._secrets), list(logs._renewed)
    yield
    logs._secrets.clear()
    logs._secrets.update(before)
    logs._renewed.clear()
    logs._renewed.extend(renewed)


@pytest.fixture(autouse=True)
def _nothing_leaks(_listening: None) -> Iterator[None]:
    """No log record of any test holds a secret, a token or chat text."""
    yield
    heard, canaries.leaks[:] = canaries.leaks[:], []
    assert not heard

"""Every error that archiver raises on purpose, as one tree; the docstring of a class is its default message.

ArchiverError                    1   failed
├─ RequestRefused                1   a 4xx that no retry will change
├─ LookRefused                   1   what people wrote is not shown, as nobody could note it
├─ QueryTooLong                  1   an answer would take longer than whoever asked may wait
├─ UsageError                    2   configuration or usage
│  ├─ ConfigurationError
│  ├─ CertificateRefused
│  ├─ WrongApplication
│  ├─ WrongZone
│  ├─ DatabaseRefused
│  └─ SchemaMismatch
├─ ArchiveIncomplete             3   the archive has a hole, a loss or a difference
│  └─ DeletionStopped            3   a brake has stopped a deletion before it went on
├─ CredentialsRefused            4   the service refused our credentials
└─ TryAgainLater                75   transient: the same call may succeed later
   ├─ ProviderUnavailable
   │  ├─ AnswerUnusable
   │  │  ├─ AnswerTooLarge
   │  │  └─ FileDamaged
   │  ├─ AnswerUnexpected
   │  └─ FileMissing
   ├─ QuotaExceeded
   ├─ DatabaseUnavailable
   │  └─ DiskNearlyFull
   ├─ LeaseLost
   │  └─ CommitsLost
   ├─ OrderLost
   ├─ WalkFailed
   ├─ HourMissing
   └─ Stopped
"""

from __future__ import annotations

from collections.abc import Iterable

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INCOMPLETE, EXIT_REFUSED, EXIT_LATER = 0, 1, 2, 3, 4, 75

_GRAVITY = (EXIT_REFUSED, EXIT_USAGE, EXIT_FAILED, EXIT_INCOMPLETE, EXIT_LATER, EXIT_DONE)


def worst_exit_code(codes: Iterable[int]) -> int:
    """Which exit code stands for several apps or reasons: 4 before 2 before 1 before 3 before 75 before 0."""
    return min([EXIT_DONE, *codes], key=_GRAVITY.index)


class ArchiverError(Exception):
    """Something failed."""

    exit_code = EXIT_FAILED
    transient = False

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.hint = hint
        """What the operator can do about it, printed on a line of its own."""


class LookRefused(ArchiverError):
    """Nothing is shown without its row in looks, and this archive cannot be written here."""

    def __init__(self) -> None:
        hint = "read it where it can be written; or, in a copy of your own, set [review] looks = false"
        super().__init__(hint=hint)


class QueryTooLong(ArchiverError):
    """The database needs too long for that."""

    def __init__(self) -> None:
        super().__init__(hint="narrow it: a shorter range of time, one sender, one conversation")


class UsageError(ArchiverError):
    """The command was used in a way that cannot work."""

    exit_code = EXIT_USAGE


class ConfigurationError(UsageError):
    """The configuration cannot be used."""

    def __init__(self, problems: list[str] | str, *, hint: str | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("\n".join(self.problems), hint=hint)


class CertificateRefused(UsageError):
    """The service shows a certificate that is not trusted here; asking again changes nothing."""


class WrongApplication(UsageError):
    """These credentials belong to another application than the one archived here."""


class WrongZone(UsageError):
    """The hours of the files are not those of the configured zone."""


class DatabaseRefused(UsageError):
    """The database cannot be worked with until somebody has mended that."""


class SchemaMismatch(UsageError):
    """The database schema is not the one this program works with."""


class ArchiveIncomplete(ArchiverError):
    """The archive has a hole, a loss or a difference."""

    exit_code = EXIT_INCOMPLETE


class DeletionStopped(ArchiveIncomplete):
    """A deletion was stopped by one of its brakes."""


class CredentialsRefused(ArchiverError):
    """The service refused our credentials."""

    exit_code = EXIT_REFUSED


class TryAgainLater(ArchiverError):
    """It could not be done now; trying again later may succeed."""

    exit_code = EXIT_LATER
    transient = True


class ProviderUnavailable(TryAgainLater):
    """The service could not be reached, or answered with an error that passes."""

    def __init__(
        self, message: str | None = None, *, retry_after_s: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        """How long the service asked to be left alone; None where it did not say."""


class AnswerUnusable(ProviderUnavailable):
    """The service answered, but not with what the call returns."""


class AnswerTooLarge(AnswerUnusable):
    """The service answered with more than is read at once; less may be asked for."""


class AnswerUnexpected(ProviderUnavailable):
    """The service answered, whole and well, with something else than the call returns; it would say it again."""

    server_ms: int | None = None
    """When it said so, by its own clock."""


class FileDamaged(AnswerUnusable):
    """A file came, and is not whole."""

    remains: bytes = b""
    """Its bytes as they came, or the first of them."""


class FileMissing(ProviderUnavailable):
    """The service has a file for this hour, and it could not be had whole."""

    remains: bytes | None = None
    """What came of it, where something did: the provider may drop the file before it is whole."""


class QuotaExceeded(TryAgainLater):
    """The service says that the plan's quota is used up; waiting does not help."""


class DatabaseUnavailable(TryAgainLater):
    """The database could not be reached, or did not take what was written."""


class DiskNearlyFull(DatabaseUnavailable):
    """The disk under the database is nearly full; nothing more is begun before it breaks."""


class LeaseLost(TryAgainLater):
    """Another process holds this window now; what was read of it was not stored."""


class OrderLost(TryAgainLater):
    """The server's order lost our trust during a walk that rests on it; nothing was closed."""


class CommitsLost(LeaseLost):
    """The database has lost what it had committed: this window is walked again from what is there."""


class WalkFailed(TryAgainLater):
    """A walk did not come to an end that can be trusted; nothing was closed."""


class HourMissing(TryAgainLater):
    """The service has no file for this hour: it is too early, too late, or the hour was never stored."""

    def __init__(
        self,
        message: str | None = None,
        *,
        server_ms: int | None = None,
        was_there: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.server_ms = server_ms
        """When the service said so, by its own clock: the hour's age decides what it means."""
        self.was_there = was_there
        """There was a file of this hour once, so it is gone, not empty."""


class Stopped(TryAgainLater):
    """Stopped before the end, as asked."""


class RequestRefused(ArchiverError):
    """The service refused the request."""

    def __init__(self, message: str | None = None, *, status: int = 0, code: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status, self.code = status, code

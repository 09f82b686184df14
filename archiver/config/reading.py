"""From a file and an environment to settings, or to every problem at once; a problem names its key and the remedy."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archiver.config import receivers, reviewers, sinks, texts
from archiver.config.draft import Draft, key_text
from archiver.config.evidence import default_state
from archiver.config.settings import (
    Alerts,
    App,
    Attachments,
    Canary,
    Database,
    Display,
    Http,
    Lifecycle,
    Metrics,
    Schedule,
    Settings,
)
from archiver.config.values import ca_file, duration_text
from archiver.errors import ConfigurationError
from archiver.model import MINUTE_MS, SECOND_MS

DEFAULT_PATH = Path("config.toml")
_CLOCKS_DIFFER_MS = 5 * MINUTE_MS
_BY_SOURCE: dict[str, dict[str, Any]] = {
    "cursor": {"settle": "2m", "audits": ["1h", "24h"], "rate": "1/s"},
    "hourly": {"settle": "24h", "audits": ["59h"], "rate": "10/min", "early": "1h", "retention": "72h"},
}
_FOREIGN = {"cursor": ("early", "hour_utc_offset"), "hourly": ("dialect",)}


class _Draft(Draft):
    """What is particular to sections."""

    def app(self, index: int, given: dict[str, Any]) -> App | None:
        source = given.get("source", "cursor")
        for key in _FOREIGN.get(source, ()) if isinstance(source, str) else ():
            if given.pop(key, None) is not None:
                self.wrong(("apps", index, key), f'does not apply to source = "{source}"; remove it')
        self.secret(index, given)
        defaults = _BY_SOURCE["hourly" if source == "hourly" else "cursor"]
        app = self.read(App, ("apps", index), {**defaults, **given})
        if app and app.start_ms > time.time() * SECOND_MS + _CLOCKS_DIFFER_MS:
            text = "lies in the future, and no archive begins later than now; write the time of its first message"
            self.wrong(("apps", index, "start"), text)
        if app and f"/{app.org}/{app.app}" in f"{app.base_url.partition('://')[2]}/":
            text = f"contains /{app.org}/{app.app}, which path_prefix adds; write it without"
            self.wrong(("apps", index, "base_url"), text)
        if app and app.base_url.startswith("http://") and app.allow_plain_http:
            self.warnings.append(
                f"{key_text(('apps', index, 'base_url'))}: credentials and messages go there unencrypted"
            )
        return app

    def secret(self, index: int, given: dict[str, Any]) -> None:
        """Settle where the client secret comes from: the environment before the file, one place in either."""
        inline, file = (("apps", index, key) for key in ("client_secret", "client_secret_file"))
        if "client_secret" in given and "client_secret_file" in given:
            if (inline in self.origins) == (file in self.origins):
                self.wrong(file, "stands beside client_secret; keep one of them")
            del given["client_secret" if file in self.origins else "client_secret_file"]
        if self.offline:
            given.setdefault("client_secret", "not read")
            given.pop("client_secret_file", None)
        elif "client_secret_file" in given:
            given["client_secret"] = self.secret_from(file, given.pop("client_secret_file"))
        elif "client_secret" in given and inline not in self.origins:
            self.warnings.append(
                f"{key_text(inline)}: the secret stands in the file; move it to one that only we can read"
            )

    def database(self, given: dict[str, Any]) -> Database | None:
        """The password may stand in a file of its own: libpq's own password file must have mode 0600, which those that
        containers are given have not."""
        path = ("database", "password_file")
        if "password_file" not in given:
            return self.read(Database, ("database",), given)
        password = quote(self.secret_from(path, given.pop("password_file")), safe="")
        match = re.fullmatch(r"(postgres\S*://)([^:@/]+)(@.*)", str(given.get("url", "")))
        if match:
            given["url"] = f"{match[1]}{match[2]}:{password}{match[3]}"
        else:
            self.wrong(path, "needs a url with a user and without a password: postgresql://user@host/database")
        return self.read(Database, ("database",), given)

    def http(self, given: dict[str, Any], environ: Mapping[str, str]) -> Http | None:
        """Where no ca_file is named, one of the variables that other programs look at may name it."""
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            if "ca_file" not in given and environ.get(name) and not self.offline:
                try:
                    given = {**given, "ca_file": ca_file(environ[name])}
                except ValueError as error:
                    self.warnings.append(f"{name}: {error}; it is left out")
        if isinstance(given.get("ca_file"), str):
            given = {**given, "ca_file": str(self.folder / given["ca_file"])}
        if "proxy" in given and "@" in str(given["proxy"]) and ("http", "proxy") not in self.origins:
            self.warnings.append("http.proxy: a password stands in the file; set ARCHIVER_HTTP__PROXY instead")
        return self.read(Http, ("http",), given)

    def alerts(self, given: dict[str, Any]) -> Alerts | None:
        """The addresses may stand in files of their own, as the client secret does."""
        for key in ("webhook", "sign_secret", "heartbeat"):
            path, file = ("alerts", key), ("alerts", f"{key}_file")
            if key in given and file[1] in given and (path in self.origins) == (file in self.origins):
                self.wrong(file, f"stands beside {key}; keep one of them")
            name = given.pop(file[1], None)
            if self.offline:
                given.pop(key, None)
            elif name is not None and path not in self.origins:
                problems = len(self.problems)
                given[key] = self.secret_from(file, name)
                if len(self.problems) > problems:
                    del given[key]
            elif key in given and path not in self.origins:
                self.warnings.append(f"alerts.{key}: it is a secret; move it to a file that only we can read")
        return self.read(Alerts, ("alerts",), given)

    def canary(self, given: Mapping[str, Any], apps: list[App | None]) -> Canary | None:
        canary = self.read(Canary, ("canary",), given)
        if canary is None:
            return None
        if not (canary.user or canary.group):
            self.wrong(("canary",), "has no target; write user or group, and make it an account of your own")
        names = {app.name for app in apps if app} | {app.app for app in apps if app}
        if canary.app is not None and canary.app not in names:
            self.wrong(("canary", "app"), f"no app named {canary.app!r} is configured")
        if canary.app is None and len({app.name for app in apps if app}) > 1:
            self.wrong(("canary", "app"), "is missing; several apps are configured, name one")
        return canary


def _read_file(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = texts.without_mark(texts.decoded(path.read_bytes()))
    except FileNotFoundError:
        if path == DEFAULT_PATH and any(name.startswith("ARCHIVER_APPS__") for name in environ):
            return {}
        raise ConfigurationError(f"{path}: there is no such file", hint="`archiver init` writes one") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: is {error}") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}{texts.strange(text, str(error))}") from None


def load(path: Path, environ: Mapping[str, str], *, offline: bool = False) -> Settings:
    """Read the file and lay the environment over it. Raises ConfigurationError with every problem at once.

    `offline`: for commands that only read the database, so that accounts without access to the client's secret can
    run them.
    """
    draft = _Draft(_read_file(path, environ), path.parent, offline=offline)
    draft.overlay(environ)
    draft.tables()
    tree = draft.tree
    database, schedule, http = (
        draft.database(tree.get("database", {})),
        draft.read(Schedule, ("schedule",), tree.get("schedule", {})),
        draft.http(tree.get("http", {}), environ),
    )
    attachments = draft.read(Attachments, ("attachments",), tree["attachments"]) if "attachments" in tree else None
    metrics = draft.read(Metrics, ("metrics",), tree["metrics"]) if "metrics" in tree else None
    alerts = draft.alerts(tree["alerts"]) if "alerts" in tree else None
    apps = [draft.app(index, given) for index, given in enumerate(tree.get("apps", []))]
    canary = draft.canary(tree["canary"], apps) if "canary" in tree else None
    evidence = sinks.read(draft, dict(tree["evidence"]), environ) if "evidence" in tree else None
    review = reviewers.read(draft, dict(tree["review"])) if "review" in tree else None
    lifecycle = draft.read(Lifecycle, ("lifecycle",), tree["lifecycle"]) if "lifecycle" in tree else None
    names = [app.name for app in apps if app]
    callbacks = receivers.read(draft, dict(tree["callbacks"]), names) if "callbacks" in tree else None
    display = draft.read(Display, ("display",), tree.get("display", {}))
    if schedule and http and schedule.lease_ms < 3 * http.deadline_ms:
        least = duration_text(3 * http.deadline_ms)
        draft.wrong(("schedule", "lease"), f"must be at least 3 x [http] deadline; write {least} or more")
    _refuse_twins(apps, draft)
    if draft.problems or not (database and schedule and http and display):
        raise ConfigurationError(draft.problems)
    return Settings(
        database=database,
        schedule=schedule,
        http=http,
        apps=tuple(app for app in apps if app),
        attachments=attachments,
        metrics=metrics,
        alerts=alerts,
        canary=canary,
        evidence=evidence,
        review=review,
        lifecycle=lifecycle,
        erasures_file=_erasures_file(draft, lifecycle, environ),
        callbacks=callbacks,
        display=display,
        warnings=tuple(draft.warnings),
    )


def _erasures_file(draft: _Draft, lifecycle: Lifecycle | None, environ: Mapping[str, str]) -> Path | None:
    given = (lifecycle and lifecycle.erasures_file) or default_state(environ, "erasures.jsonl")
    return None if given is None else draft.folder / given


def _refuse_twins(apps: list[App | None], draft: _Draft) -> None:
    if not apps:
        draft.wrong(("apps",), "none is configured; begin one with [[apps]]")
    seen: dict[tuple[str, str], int] = {}
    for index, app in enumerate(apps):
        if app and (first := seen.setdefault((app.name.lower(), app.source), index)) != index:
            draft.problems.append(f"apps[{index}]: {app.name} with this source is apps[{first}] already; remove one")

"""From a file and an environment to settings, or to every problem at once; a problem names its key and the remedy."""

from __future__ import annotations

import difflib
import re
import shlex
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from archiver.config import texts
from archiver.config.settings import (
    Alerts,
    App,
    Attachments,
    Canary,
    Database,
    Display,
    Http,
    Metrics,
    Schedule,
    Section,
    Settings,
)
from archiver.config.values import ca_file, duration_text
from archiver.errors import ConfigurationError

DEFAULT_PATH = Path("config.toml")
CONTAINER_SECRETS = Path("/run/secrets")
"""Container engines lay secrets there for everybody within; who is within is theirs to say."""
_SECTIONS: dict[str, type[Section]] = {
    "database": Database,
    "schedule": Schedule,
    "http": Http,
    "apps": App,
    "attachments": Attachments,
    "metrics": Metrics,
    "alerts": Alerts,
    "canary": Canary,
    "display": Display,
}
_BY_SOURCE: dict[str, dict[str, Any]] = {
    "cursor": {"settle": "2m", "audits": ["1h", "24h"], "rate": "1/s"},
    "hourly": {"settle": "24h", "audits": ["59h"], "rate": "10/min", "early": "1h", "retention": "72h"},
}
_IN_FILES = {
    "database": ("password_file",),
    "apps": ("client_secret_file",),
    "alerts": ("webhook_file", "heartbeat_file"),
}
_FOREIGN = {"cursor": ("early", "hour_utc_offset"), "hourly": ("dialect",)}
_REMEDIES = {
    "org": "write the part of the app key before the #",
    "app": "write the part of the app key after the #",
    "client_id": "write it as the console shows it",
    "client_secret": "name a file in client_secret_file, or set it by environment",
    "start": "write the origin of the archive, for example 2026-11-01T00:00:00Z",
    "store": "write file:///var/lib/archiver/attachments or s3://bucket/prefix",
}

_Path = tuple[str | int, ...]
_S = TypeVar("_S", bound=Section)


class _Draft:
    """A configuration on its way: what was given, which of it by environment, and what is wrong with it so far."""

    def __init__(self, tree: dict[str, Any], folder: Path, *, offline: bool) -> None:
        self.tree, self.folder, self.offline = tree, folder, offline
        self.origins: dict[_Path, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def wrong(self, path: _Path, what: str) -> None:
        origin = next((name for given, name in self.origins.items() if given[: len(path)] == path), None)
        self.problems.append(f"{_key(path)}{f' ({origin})' if origin else ''}: {what}")

    def overlay(self, environ: Mapping[str, str]) -> None:
        given = {_variable_path(name): name for name in environ if _is_ours(name)}
        for path in sorted(given, key=lambda path: [(isinstance(step, str), step) for step in path]):
            self.origins[path] = given[path]
            if not _place(self.tree, path, environ[given[path]]):
                self.wrong(path, "does not fit what is configured; lists are counted from 0, without a gap")

    def tables(self) -> None:
        """Leave nothing in the tree but known sections of the right shape."""
        for section, value in list(self.tree.items()):
            if section not in _SECTIONS:
                self.wrong((section,), _nearest(section, ""))
            elif section == "apps" and not (isinstance(value, list) and all(isinstance(app, dict) for app in value)):
                self.wrong((section,), "is not a list of tables; begin every app with [[apps]]")
            elif section != "apps" and not isinstance(value, dict):
                self.wrong((section,), f"is not a table; begin it with [{section}]")
            else:
                continue
            del self.tree[section]

    def read(self, kind: type[_S], path: _Path, given: Mapping[str, Any]) -> _S | None:
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                key = str(one["loc"][0])
                self.wrong((*path, key), _what(str(path[0]), key, one["type"], one.get("ctx", {}), one["msg"]))
            return None

    def app(self, index: int, given: dict[str, Any]) -> App | None:
        source = given.get("source", "cursor")
        for key in _FOREIGN.get(source, ()) if isinstance(source, str) else ():
            if given.pop(key, None) is not None:
                self.wrong(("apps", index, key), f'does not apply to source = "{source}"; remove it')
        self.secret(index, given)
        defaults = _BY_SOURCE["hourly" if source == "hourly" else "cursor"]
        app = self.read(App, ("apps", index), {**defaults, **given})
        if app and app.base_url.startswith("http://") and app.allow_plain_http:
            self.warnings.append(f"{_key(('apps', index, 'base_url'))}: credentials and messages go there unencrypted")
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
            self.warnings.append(f"{_key(inline)}: the secret stands in the file; move it to one that only we can read")

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
        for key in ("webhook", "heartbeat"):
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
                self.warnings.append(f"alerts.{key}: the address is a secret; move it to a file that only we can read")
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

    def secret_from(self, path: _Path, name: object) -> str:
        """The text of a secret file. A problem is noted, and answered with a stand-in, so that it is reported once."""
        file = self.folder / str(name)
        try:
            text = texts.decoded(file.read_bytes()).rstrip("\r\n")
            if file.stat().st_mode & stat.S_IROTH and not texts.is_laid(file, CONTAINER_SECRETS):
                self.warnings.append(f"{_key(path)}: everybody may read {file}; chmod 0400 it")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"it is {error}"
            self.wrong(path, f"{file} cannot be read: {reason}")
            return "unreadable"
        if texts.is_empty(text):
            self.wrong(path, f"{file} is empty; write the secret into it")
            return "empty"
        if problem := texts.beside(text, blanks=path[0] != "database"):
            self.wrong(path, f"{file} {problem}; write the secret alone: printf %s SECRET > {shlex.quote(str(file))}")
            return "untidy"
        return text


def _is_ours(name: str) -> bool:
    return name.startswith("ARCHIVER_") and "__" in name.removeprefix("ARCHIVER_")


def _variable_path(name: str) -> _Path:
    steps = name.removeprefix("ARCHIVER_").lower().split("__")
    return tuple(int(step) if re.fullmatch(r"[0-9]{1,4}", step) else step for step in steps)


def _key(path: _Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _place(tree: dict[str, Any], path: _Path, value: str) -> bool:
    """Put one value of the environment into the tree; False where the tree has another shape."""
    node: Any = tree
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        fresh: Any = value if last else [] if isinstance(path[depth + 1], int) else {}
        if isinstance(node, list) and isinstance(step, int) and step <= len(node):
            if step == len(node):
                node.append(fresh)
        elif isinstance(node, dict) and isinstance(step, str):
            node.setdefault(step, fresh)
        else:
            return False
        if last:
            node[step] = value
        node = node[step]
    return True


def _known(section: str) -> list[str]:
    keys = [field.alias or name for name, field in _SECTIONS[section].model_fields.items()]
    return [*keys, *_IN_FILES.get(section, ())]


def _nearest(key: str, section: str) -> str:
    here = _known(section) if section else list(_SECTIONS)
    if close := difflib.get_close_matches(key, here, n=1, cutoff=0.5):
        return f"is unknown; did you mean {close[0]}?"
    elsewhere = {name: place for place in _SECTIONS for name in _known(place)}
    if close := difflib.get_close_matches(key, elsewhere, n=1, cutoff=0.8):
        return f"is unknown here; did you mean {close[0]} in [{elsewhere[close[0]]}]?"
    return f"is unknown; known here: {', '.join(here)}"


def _what(section: str, key: str, kind: str, context: Mapping[str, Any], message: str) -> str:
    """pydantic's finding in our words."""
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"is missing; {_REMEDIES[key]}"
        case "extra_forbidden":
            return _nearest(key, section)
        case "literal_error":
            return f"must be {context['expected']}".replace("'", '"')
        case "string_type":
            return "must be text in quotes"
        case "string_too_short":
            return "is empty"
        case _:
            return message


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
    display = draft.read(Display, ("display",), tree.get("display", {}))
    if not apps:
        draft.wrong(("apps",), "none is configured; begin one with [[apps]]")
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
        display=display,
        warnings=tuple(draft.warnings),
    )


def _refuse_twins(apps: list[App | None], draft: _Draft) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, app in enumerate(apps):
        if app and (first := seen.setdefault((app.name.lower(), app.source), index)) != index:
            draft.problems.append(f"apps[{index}]: {app.name} with this source is apps[{first}] already; remove one")

"""[callbacks] and [[callbacks.apps]] from a draft: every alias stands for one configured app."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from archiver.config.callbacks import CallbackApp, Callbacks
from archiver.config.draft import Draft

_REQUIRED = {
    "app": 'write the app key, for example "acme#support"',
    "alias": 'write the word that stands for the app in the URL, for example "support"',
    "token_file": "name a file with 32 hex digits: openssl rand -hex 16",
    "secrets_file": "name a file with one secret a line, one for each rule of the console",
}


def read(draft: Draft, given: dict[str, Any], configured: Iterable[str]) -> Callbacks | None:
    """The section, or None where something is wrong with it; the draft has the problems. `configured`: known apps."""
    apps = given.pop("apps", [])
    if not (isinstance(apps, list) and all(isinstance(app, dict) for app in apps)):
        draft.wrong(("callbacks", "apps"), "is not a list of tables; begin every app with [[callbacks.apps]]")
        apps = []
    elif not apps:
        draft.wrong(("callbacks", "apps"), "none is configured; begin one with [[callbacks.apps]]")
    read_apps = [_app(draft, index, dict(app), set(configured)) for index, app in enumerate(apps)]
    _refuse_twins(draft, read_apps)
    if "spool" not in given:
        draft.wrong(("callbacks", "spool"), "is missing; name a folder, for example /var/lib/archiver/callbacks")
        return None
    result = draft.read(Callbacks, ("callbacks",), {**given, "spool": draft.folder / str(given["spool"])})
    if result is None or any(app is None for app in read_apps):
        return None
    return result.model_copy(update={"apps": tuple(read_apps)})


def _app(draft: Draft, index: int, given: dict[str, Any], configured: set[str]) -> CallbackApp | None:
    path = ("callbacks", "apps", index)
    missing = {key: text for key, text in _REQUIRED.items() if key not in given}
    for key, text in missing.items():
        draft.wrong((*path, key), f"is missing; {text}")
    files: dict[str, Any] = {
        key: draft.folder / str(given[key]) for key in ("token_file", "secrets_file") if key in given
    }
    app = draft.read(CallbackApp, path, {**given, **files}, left_out=missing)
    if app is not None and app.app not in configured:
        known = ", ".join(sorted(configured)) or "none"
        draft.wrong((*path, "app"), f"no app named {app.app!r} is configured in [[apps]]; there is: {known}")
        return None
    return app


def _refuse_twins(draft: Draft, apps: list[CallbackApp | None]) -> None:
    seen: dict[str, int] = {}
    for index, app in enumerate(apps):
        for key in ("app", "alias") if app else ():
            value = f"{key} {getattr(app, key)}".lower()
            if (first := seen.setdefault(value, index)) != index:
                draft.wrong(("callbacks", "apps", index, key), f"is that of callbacks.apps[{first}]; remove one")

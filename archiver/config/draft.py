"""A configuration on its way to settings: what was given, by file and environment, and what is wrong with it so far."""

from __future__ import annotations

import difflib
import re
import shlex
import stat
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from archiver.config import texts
from archiver.config.callbacks import Callbacks
from archiver.config.evidence import Evidence, WebhookSink
from archiver.config.review import Review
from archiver.config.section import Section
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
)

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
    "evidence": Evidence,
    "review": Review,
    "lifecycle": Lifecycle,
    "callbacks": Callbacks,
    "display": Display,
}
_IN_FILES: dict[type[Section], tuple[str, ...]] = {
    Database: ("password_file",),
    App: ("client_secret_file",),
    Alerts: ("webhook_file", "sign_secret_file", "heartbeat_file"),
    WebhookSink: ("webhook_file", "sign_secret_file"),
}
_REMEDIES = {
    "org": "write the part of the app key before the #",
    "app": "write the part of the app key after the #",
    "client_id": "write it as the console shows it",
    "client_secret": "name a file in client_secret_file, or set it by environment",
    "start": "write the origin of the archive, for example 2026-11-01T00:00:00Z",
    "name": "write a name for the ledger that never changes, for example archive.example.com/acme",
    "key_file": "name the file of the key, for example /run/credentials/archiver.service/evidence",
    "store": "write file:///var/lib/archiver/attachments or s3://bucket/prefix",
}

KeyPath = tuple[str | int, ...]
_S = TypeVar("_S", bound=Section)


class Draft:
    """A configuration on its way: what was given, which of it by environment, and what is wrong with it so far."""

    def __init__(self, tree: dict[str, Any], folder: Path, *, offline: bool) -> None:
        self.tree, self.folder, self.offline = tree, folder, offline
        self.origins: dict[KeyPath, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def wrong(self, path: KeyPath, what: str) -> None:
        origin = next((name for given, name in self.origins.items() if given[: len(path)] == path), None)
        self.problems.append(f"{key_text(path)}{f' ({origin})' if origin else ''}: {what}")

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
                self.wrong((section,), _nearest(section, None))
            elif section == "apps" and not (isinstance(value, list) and all(isinstance(app, dict) for app in value)):
                self.wrong((section,), "is not a list of tables; begin every app with [[apps]]")
            elif section != "apps" and not isinstance(value, dict):
                self.wrong((section,), f"is not a table; begin it with [{section}]")
            else:
                continue
            del self.tree[section]

    def read(
        self, kind: type[_S], path: KeyPath, given: Mapping[str, Any], *, left_out: Container[str] = ()
    ) -> _S | None:
        """`left_out`: keys that are missing, of which the caller has said so in better words."""
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                key = str(one["loc"][0])
                if key not in left_out:
                    self.wrong((*path, key), _what(kind, key, one["type"], one.get("ctx", {}), one["msg"]))
            return None

    def exposed(self, path: KeyPath, file: Path) -> None:
        """Warn where everybody may read a secret's file; one that is not there yet is no matter."""
        try:
            everybody = file.stat().st_mode & stat.S_IROTH
        except OSError:
            return
        if everybody and not texts.is_laid(file, CONTAINER_SECRETS):
            self.warnings.append(f"{key_text(path)}: everybody may read {file}; chmod 0400 it")

    def secret_from(self, path: KeyPath, name: object) -> str:
        """The text of a secret file. A problem is noted, and answered with a stand-in, so that it is reported once."""
        file = self.folder / str(name)
        try:
            text = texts.decoded(file.read_bytes()).rstrip("\r\n")
            self.exposed(path, file)
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


def _variable_path(name: str) -> KeyPath:
    steps = name.removeprefix("ARCHIVER_").lower().split("__")
    return tuple(int(step) if re.fullmatch(r"[0-9]{1,4}", step) else step for step in steps)


def key_text(path: KeyPath) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _place(tree: dict[str, Any], path: KeyPath, value: str) -> bool:
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


def known_keys(kind: type[Section]) -> list[str]:
    """The keys that may stand in a section, as TOML names them."""
    keys = [field.alias or name for name, field in kind.model_fields.items()]
    return [*keys, *_IN_FILES.get(kind, ())]


def _nearest(key: str, kind: type[Section] | None) -> str:
    here = known_keys(kind) if kind else list(_SECTIONS)
    if close := difflib.get_close_matches(key, here, n=1, cutoff=0.5):
        return f"is unknown; did you mean {close[0]}?"
    elsewhere = {name: place for place, other in _SECTIONS.items() for name in known_keys(other)}
    if close := difflib.get_close_matches(key, elsewhere, n=1, cutoff=0.8):
        return f"is unknown here; did you mean {close[0]} in [{elsewhere[close[0]]}]?"
    return f"is unknown; known here: {', '.join(here)}"


def _what(section: type[Section], key: str, kind: str, context: Mapping[str, Any], message: str) -> str:
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

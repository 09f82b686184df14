"""[callbacks] and [[callbacks.apps]]: where callbacks are received, and which files hold tokens and secrets.

The files are named here and read by whoever needs them: the receiver the tokens, the ingest the secrets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from archiver.config import values
from archiver.config.section import Section


class CallbackApp(Section):
    """One app whose callbacks are received. `partial`: its rules have filters, so callbacks may lack messages."""

    app: str
    alias: Annotated[str, AfterValidator(values.alias)]
    partial: bool = False
    token_file: Path
    secrets_file: Path


class Callbacks(Section):
    """`spool`: a folder of the receiver's host. `listen`: behind a proxy that speaks TLS."""

    spool: Path
    listen: Annotated[str, AfterValidator(values.address)] = "127.0.0.1:9490"
    apps: tuple[CallbackApp, ...] = ()

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

"""`init`: a commented configuration."""

from __future__ import annotations

import os
from pathlib import Path

import click

from archiver import config
from archiver.errors import ArchiverError


@click.command()
@click.pass_context
def init(ctx: click.Context) -> None:
    """Write a commented config.toml. An existing file is never overwritten.

    \b
    Example:
      archiver --config /etc/archiver/config.toml init
    """
    path = Path(ctx.find_root().obj["config"])
    try:
        # Made so, and not changed afterwards: not every file system lets modes be changed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(config.example())
    except FileExistsError:
        raise ArchiverError(f"{path} exists, and was left as it is") from None
    except OSError as error:
        raise ArchiverError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"{path} written; fill in your app, then: archiver check-config")

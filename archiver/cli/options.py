"""Options that several commands have: times, zones, languages, filters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, date, tzinfo
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from archiver.cli.context import Case
from archiver.config import Display, load, parse_time
from archiver.errors import UsageError
from archiver.language import Language, language, of_environment
from archiver.model import Window
from archiver.store.read.filters import Filter
from archiver.view import View
from archiver.zones import Calendar, local_time, machine_zone, month, parse_zone


def display(ctx: click.Context) -> Display:
    """How people are answered, by the configuration: known while the options are read, as they go by it."""
    shared = ctx.find_root().obj
    if "display" not in shared:
        shared["display"] = load(Path(shared["config"]), os.environ, offline=True).display
    chosen: Display = shared["display"]
    return chosen


class Instant(click.ParamType[int]):
    """A point in time, as milliseconds. A day, a month or a time without a zone is read in the zone of `--zone`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            local = local_time(value.strip())
            if local is None or ctx is None:
                return parse_time(value)
            return parse_time(Calendar(_zone(ctx)).at_ms(local))
        except ValueError as error:
            self.fail(str(error), param, ctx)


INSTANT = Instant()


class Month(click.ParamType[tuple[date, date]]):
    """A month as its first day and the next month's."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        try:
            return value if isinstance(value, tuple) else month(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Zone(click.ParamType[tzinfo]):
    """A time zone by its name, or by its distance from UTC."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        try:
            return value if isinstance(value, tzinfo) else parse_zone(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _zone(ctx: click.Context) -> tzinfo:
    """The zone by which this command's times are read: that of `--zone`, of the configuration, of the machine."""
    given = ctx.params.get("zone")
    if isinstance(given, tzinfo):
        return given
    configured = display(ctx).zone
    return machine_zone(os.environ) if configured is None else parse_zone(configured)


ZONE = click.option(
    "--zone",
    type=Zone(),
    is_eager=True,  # before the times, which may be read by it
    callback=lambda ctx, _param, value: _zone(ctx) if value is None else value,
    help="Zone of days and times: Asia/Shanghai or +08:00. Default: [display] zone, or this machine's.",
)


def _language(ctx: click.Context, given: str | None) -> Language:
    """That of `--language`, of the configuration, of the locale; the remedies of errors are in it as well."""
    shared = ctx.find_root().obj
    shared["language"] = given or display(ctx).language or of_environment(os.environ)
    return language(shared["language"])


LANGUAGE = click.option(
    "--language",
    type=click.Choice(["zh", "en"]),
    callback=lambda ctx, _param, value: _language(ctx, value),
    help="Default: [display] language, or by the locale.",
)


def default_view(ctx: click.Context) -> View:
    """That of a command without --zone and --language."""
    return View(_language(ctx, None), Calendar(_zone(ctx)))


def VIEW(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - a decorator as the options beside it
    """Give a command --zone and --language; it gets them as `view`."""

    @wraps(command)
    def with_view(*arguments: Any, zone: tzinfo, language: Language, **options: Any) -> Any:
        return command(*arguments, view=View(language, Calendar(zone)), **options)

    return ZONE(LANGUAGE(with_view))


MONTH = click.option("--month", "month", metavar="YYYY-MM", type=Month(), help="Instead of --from and --to.")


def calendar_for(zone: tzinfo, form: str, *, machines: Sequence[str]) -> Calendar:
    """The calendar by which a format is written; what machines read stays with UTC."""
    if form not in machines:
        return Calendar(zone)
    if click.get_current_context().get_parameter_source("zone") is ParameterSource.COMMANDLINE and zone is not UTC:
        click.echo(f"--format {form} is for machines, and in UTC; --zone changes nothing there", err=True)
    return Calendar()


Limits = tuple[int | None, int | None]


def in_month(month: tuple[date, date] | None, zone: tzinfo, from_ms: int | None, to_ms: int | None) -> Limits:
    """The limits of a range: those of `--month` in this zone, or `--from` and `--to` as they were given."""
    if month is None:
        return from_ms, to_ms
    if from_ms is not None or to_ms is not None:
        raise UsageError("--month stands for --from and --to; give one or the other")
    calendar = Calendar(zone)
    return calendar.begins(month[0]), calendar.begins(month[1])


def stretch(from_ms: int, to_ms: int) -> Window:
    """A range given by `--from` and `--to`."""
    if from_ms >= to_ms:
        raise UsageError("--from must lie before --to")
    return Window(from_ms, to_ms)


def CASE(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - as VIEW
    """Give a command that shows what people wrote --case and --reason; it gets them as `case`."""

    @wraps(command)
    def with_case(*arguments: Any, case_id: str | None, reason: str | None, **options: Any) -> Any:
        return command(*arguments, case=Case(case_id, reason), **options)

    case = click.option("--case", "case_id", metavar="ID", help="Case id, for the row in looks.")
    return case(click.option("--reason", metavar="TEXT", help="Why this is read, for the row in looks.")(with_case))


FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


APP = click.option("--app", metavar="NAME", help='Only this app, as "org#app" or "app".')


LIMIT = click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many, latest first.")
ONE_APP = click.option("--app", metavar="NAME", help="Which app, if several are configured.")


_ENVELOPES = (
    click.option("--app", "app", metavar="NAME", help='Only this app, as "org#app" or "app".'),
    click.option("--sender", metavar="USER", help="Only messages from this user."),
    click.option("--recipient", metavar="ID", help="Only messages to this user, group or room."),
    click.option("--conversation", metavar="ID", help='Only this group, room or pair of users ("A|B").'),
    click.option("--from", "from_ms", metavar="TIME", type=INSTANT, help="Stamped at this time or later."),
    click.option("--to", "to_ms", metavar="TIME", type=INSTANT, help="Stamped before this time."),
    MONTH,
)
_TYPES = click.option(
    "--type", "types", metavar="TYPE", multiple=True, help="Only bodies of this type (txt, img, ...); repeatable."
)


def message_filter(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose messages; it gets them as `criteria`, one Filter."""
    return _filtered(command, (*_ENVELOPES, _TYPES))


def envelope_filter(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same without what is said of bodies."""
    return _filtered(command, _ENVELOPES)


def _filtered(command: Callable[..., Any], given_as: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    @wraps(command)
    def with_filter(*arguments: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in Filter.__dataclass_fields__ if name in options}
        limits = in_month(options.pop("month"), options["zone"], given["from_ms"], given["to_ms"])
        given["from_ms"], given["to_ms"] = limits
        if given["from_ms"] is not None and given["to_ms"] is not None:
            stretch(given["from_ms"], given["to_ms"])
        return command(*arguments, criteria=Filter(**given), **options)

    for option in reversed(given_as):
        with_filter = option(with_filter)
    return with_filter

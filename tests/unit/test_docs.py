"""The documentation knows every command, setting, table and column, and what it shows works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest

import archiver
from archiver import config, errors
from archiver.cli import cli
from archiver.config import Alerts, App, Attachments, Canary, Database, Http, Metrics, Schedule
from archiver.config.section import Section
from archiver.store.admin import comments
from archiver.store.admin.ask import ask
from archiver.store.admin.migrate import upgrade
from archiver.store.engine import Store, open_store
from archiver.store.schema import ALL_VIEWS, metadata
from tests import man_page, settings_page
from tests.proof.prove import RECORD, summary

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
README, CHINESE, SQL_PAGE = TEXTS["README.md"], TEXTS["README.zh-CN.md"], TEXTS["docs/sql.md"]
SCHEMA_PAGE = TEXTS["docs/schema.md"]
SECTIONS: tuple[type[Section], ...] = (Alerts, App, Attachments, Canary, Database, Http, Metrics, Schedule)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below `group`, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(cli))
STATEMENTS = [
    pytest.param(sql, id=f"{page}-{number}")
    for page in ("README.md", "docs/sql.md", "docs/schema.md", "docs/lifecycle.md")
    for number, sql in enumerate(blocks(TEXTS[page], "sql"), 1)
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('docs') / 'archive.db'}")
    upgrade(store)
    yield store
    store.dispose()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_documented_and_its_help_has_an_example(words: tuple[str, ...]) -> None:
    command, call = COMMANDS[words], "archiver " + " ".join(words)
    # "archiver export verify" does not document "archiver export", which does something by itself.
    alone = not isinstance(command, click.Group) or command.invoke_without_command
    below = [longer[len(words)] for longer in COMMANDS if longer[: len(words)] == words and longer != words]
    uses = re.findall(rf"{call}\b ?([\w-]*)", "".join(TEXTS.values()))
    assert [word for word in uses if not alone or word not in below]
    assert "Example:" in (command.help or "")
    assert call.split()[1] in (command.help or "").partition("Example:")[2]


def test_commands_with_a_line_of_their_own_are_in_both_readmes() -> None:
    for words, command in COMMANDS.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            call = f"| `archiver {' '.join(words)}` |"
            assert call in README, call
            assert call in CHINESE, call


@pytest.mark.parametrize("page", TEXTS)
def test_calls_that_are_shown_use_options_that_exist(page: str) -> None:
    for block in blocks(TEXTS[page], "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("archiver "):
                check_call(shlex.split(line)[1:])


def check_call(arguments: list[str]) -> None:
    words: tuple[str, ...] = ()
    options: set[str] = set(cli.get_help_option_names(click.Context(cli)))
    options.update(name for parameter in cli.params for name in parameter.opts)
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in options, (arguments, argument)
        elif (*words, argument) in COMMANDS:
            words = (*words, argument)
            options.update(name for parameter in COMMANDS[words].params for name in parameter.opts)
    assert words, arguments


def test_every_setting_is_in_the_example() -> None:
    example = config.example()
    keys = {field.alias or name for section in SECTIONS for name, field in section.model_fields.items()}
    for key in keys | {"client_secret_file", "password_file", "webhook_file", "heartbeat_file"}:
        assert re.search(rf"^(# )?{key} = |`{key}`", example, re.MULTILINE), key
    for name in ("database", "schedule", "http", "attachments", "metrics", "alerts", "canary"):
        assert re.search(rf"^(# )?\[{name}\]$", example, re.MULTILINE), name


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    assert TEXTS["docs/settings.md"] == settings_page.page(), "make docs"


def test_the_manual_page_is_that_of_the_help() -> None:
    assert man_page.PAGE.read_text(encoding="utf-8") == man_page.page(), "make docs"


def test_the_configuration_in_the_readme_is_understood(tmp_path: Path) -> None:
    (block,) = blocks(README, "toml")
    file = tmp_path / "config.toml"
    file.write_text(block, encoding="utf-8")
    settings = config.load(file, {"ARCHIVER_APPS__0__CLIENT_SECRET": "s3cret"})
    assert [app.name for app in settings.apps] == ["acme#support"]
    assert not settings.warnings


def test_both_readmes_show_the_same() -> None:
    for language in ("toml", "sql", "sh"):
        assert blocks(README, language)
        assert blocks(README, language) == blocks(CHINESE, language)
    assert README.count("\n## ") == CHINESE.count("\n## ")


def test_both_manuals_show_the_same() -> None:
    english, chinese = TEXTS["docs/operations.md"], TEXTS["docs/operations.zh-CN.md"]
    everything = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    assert everything.findall(english) == everything.findall(chinese)
    headings, rows = re.compile(r"^#+(?= )", re.MULTILINE), re.compile(r"^\|.*", re.MULTILINE)
    assert headings.findall(chinese) == headings.findall(english)
    subjects = re.compile(r"\*\*Archiver\w+|`[^`]+`")
    for ours, theirs in zip(rows.findall(english), rows.findall(chinese), strict=True):
        assert subjects.findall(theirs.split("|")[1]) == subjects.findall(ours.split("|")[1])


@pytest.mark.parametrize("page", ["export", "lifecycle"])
def test_both_manuals_for_officers_show_the_same(page: str) -> None:
    english, chinese = TEXTS[f"docs/{page}.md"], TEXTS[f"docs/{page}.zh-CN.md"]
    everything = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    assert everything.findall(english) == everything.findall(chinese)
    for pattern in (r"^#+(?= )", r"^\|[^|]*`[^|]*\|", r"`--[a-z-]+"):
        ours, theirs = (re.findall(pattern, text, re.MULTILINE) for text in (english, chinese))
        assert set(ours) == set(theirs)
        assert len(ours) == len(theirs) or pattern.startswith("`")


@pytest.mark.parametrize("page", ["callbacks", "review"])
def test_both_pages_show_the_same(page: str) -> None:
    english, chinese = TEXTS[f"docs/{page}.md"], TEXTS[f"docs/{page}.zh-CN.md"]
    everything = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
    assert everything.findall(english) == everything.findall(chinese)
    for pattern in (r"^#+(?= )", r"^\d\. ", r"^\| `[^|]*`"):
        ours, theirs = (re.findall(pattern, text, re.MULTILINE) for text in (english, chinese))
        assert ours == theirs


def test_both_lists_of_questions_answer_the_same() -> None:
    english, chinese = TEXTS["docs/faq.md"], TEXTS["docs/faq.zh-CN.md"]
    assert len(re.findall(r"^## ", english, re.MULTILINE)) >= 10
    named = [
        [{" ".join(name.split()) for name in re.findall(r"`([^`]*)`", answer)} for answer in text.split("\n## ")[1:]]
        for text in (english, chinese)
    ]
    assert named[0] == named[1]


def test_the_log_messages_of_the_manual_are_those_of_the_program() -> None:
    table = TEXTS["docs/operations.md"].partition("| alert or log message |")[2].partition("\n### ")[0]
    messages = [text for row in table.splitlines()[2:] for text in re.findall("`([^`]+)`", row.partition(" | ")[0])]
    source = "".join(path.read_text(encoding="utf-8") for path in Path(archiver.__file__).parent.rglob("*.py"))
    assert len(messages) > 30
    assert [text for text in messages if text not in source] == []


def test_both_pages_on_sql_ask_the_same_questions() -> None:
    chinese = TEXTS["docs/sql.zh-CN.md"]
    english = SQL_PAGE.partition("\n## Twenty questions")[2].partition("\n## ")[0]
    assert blocks(chinese, "sql") == blocks(english, "sql")
    assert re.findall(r"^\*\*(\d+)\. ", chinese, re.MULTILINE) == [str(number) for number in range(1, 21)]
    assert blocks(chinese, "postgresql") == blocks(SQL_PAGE, "postgresql")
    assert set(re.findall(r"^\| `(\w+)` \|", chinese, re.MULTILINE)) == {*ALL_VIEWS}


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "docs/architecture.md", "CONTRIBUTING.md"])
def test_files_of_the_program_that_are_named_are_there(page: str) -> None:
    named = set(re.findall(r"`((?:archiver/)?[a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", TEXTS[page]))
    named.discard("demo/")  # which `make demo` makes
    assert named
    assert [name for name in named if not any((place / name).exists() for place in (ROOT, ROOT / "archiver"))] == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_every_query_that_is_shown_is_right_sql(archive: Store, sql: str) -> None:
    columns, rows = ask(archive, sql)
    assert columns
    assert rows == []  # the archive is empty


def section(heading: str) -> str:
    """What docs/schema.md says under the heading of a table or view."""
    found = re.search(rf"^### {heading}\n(.*?)(?=^##|\Z)", SCHEMA_PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/schema.md has no section on {heading}"
    return found[1]


@pytest.mark.parametrize("table", metadata.tables)
def test_every_table_and_column_is_documented(table: str) -> None:
    told = section(table)
    missing = [column.name for column in metadata.tables[table].columns if f"`{column.name}`" not in told]
    assert missing == []


@pytest.mark.parametrize("view", ALL_VIEWS)
def test_every_view_and_column_is_documented(archive: Store, view: str) -> None:
    columns, _ = ask(archive, f"SELECT * FROM {view}")
    told = section(view)
    assert [column for column in columns if f"`{column}`" not in told] == []


@pytest.mark.parametrize("name", [*metadata.tables, *ALL_VIEWS])
def test_every_table_and_column_has_a_meaning_for_the_database_to_show(archive: Store, name: str) -> None:
    columns, _ = ask(archive, f"SELECT * FROM {name}")
    about, meanings = comments.meanings()[name]
    assert about
    assert set(meanings) == set(columns)
    assert all(meanings.values())


def test_no_view_is_forgotten(archive: Store) -> None:
    _, rows = ask(archive, "SELECT name FROM sqlite_master WHERE type = 'view'")
    assert {row[0] for row in rows} == {*ALL_VIEWS}


def test_every_exit_code_is_explained() -> None:
    codes = [cast(int, value) for name, value in vars(errors).items() if name.startswith("EXIT_")]
    for code in codes:
        for page in ("README.md", "README.zh-CN.md", "docs/operations.md", "docs/operations.zh-CN.md"):
            assert f"\n| {code} | " in TEXTS[page], (page, code)


def test_the_changelog_begins_with_this_version() -> None:
    top = re.search(r"^## \[?([^\]\s]+)", TEXTS["CHANGELOG.md"], re.MULTILINE)
    assert top
    released = re.findall(r"^## \[?(\d[^\]\s]*)", TEXTS["CHANGELOG.md"], re.MULTILINE)
    assert released[:1] == ([] if archiver.__version__ == "0.1.0" else [archiver.__version__]), "0.1.0 is the first"


def test_the_page_on_proof_sums_up_what_is_on_record() -> None:
    """After `make prove RECORD=1`: the table of `python -m tests.proof.prove --summary`."""
    assert summary(RECORD.read_text(encoding="utf-8")) in TEXTS["docs/proof.md"]

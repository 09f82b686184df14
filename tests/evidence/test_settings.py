"""[evidence] and its sinks: what is understood, what is refused, and which attacks a choice of sinks leaves unseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import certifi
import pytest

from archiver import cli, config
from archiver.config import Evidence, Settings
from archiver.config.evidence import FileSink, S3Sink, TimestampSink, WebhookSink
from archiver.errors import ConfigurationError

ENVIRON = {"ARCHIVER_APPS__0__CLIENT_SECRET": "s3cret", "HOME": "/home/archiver"}
APP = '[[apps]]\norg = "acme"\napp = "chat"\nclient_id = "id"\nstart = 2026-11-01T00:00:00Z\n'
LEDGER = '[evidence]\nname = "archive.example.com/acme"\nkey_file = "key"\n'
ALL = f"""
[[evidence.anchors]]
sink = "s3"
url = "s3://acme-worm/checkpoints/"
[[evidence.anchors]]
sink = "file"
path = "notes"
every = "5m"
[[evidence.anchors]]
sink = "webhook"
form = "dingtalk"
webhook_file = "hook"
sign_secret_file = "sign"
[[evidence.anchors]]
sink = "rfc3161"
url = "http://tsa.example.com/tsr"
root_file = "{certifi.where()}"
"""


def load(tmp_path: Path, text: str, environ: Mapping[str, str] = ENVIRON, *, offline: bool = False) -> Settings:
    (tmp_path / "config.toml").write_text(text + APP, encoding="utf-8")
    for name, content in (("hook", "https://oapi.dingtalk.com/robot/send?access_token=t0k3n"), ("sign", "SEC1234")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o400)
    return config.load(tmp_path / "config.toml", environ, offline=offline)


def evidence(tmp_path: Path, more: str = "", environ: Mapping[str, str] = ENVIRON) -> Evidence:
    result = load(tmp_path, LEDGER + more, environ).evidence
    assert result is not None
    return result


def problems(tmp_path: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, environ)
    return caught.value.problems


def test_without_the_section_there_is_no_evidence(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.evidence is None
    assert "evidence" not in config.describe(settings)


def test_name_and_key_are_enough(tmp_path: Path) -> None:
    ours = evidence(tmp_path)
    assert (ours.name, ours.key_file) == ("archive.example.com/acme", tmp_path / "key")
    assert (ours.publish, ours.checkpoint_ms, ours.scrub_ms, ours.anchors) == (True, 60_000, 30 * 86_400_000, ())
    assert evidence(tmp_path, 'scrub = "off"\npublish = false\n').scrub_ms is None


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"STATE_DIRECTORY": "/var/lib/archiver:/var/lib/b", "HOME": "/h"}, "/var/lib/archiver/evidence.state"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/h"}, "/state/archiver/evidence.state"),
        ({"HOME": "/h"}, "/h/.local/state/archiver/evidence.state"),
    ],
)
def test_state_is_kept_where_the_system_keeps_state(tmp_path: Path, environ: dict[str, str], file: str) -> None:
    given = {"ARCHIVER_APPS__0__CLIENT_SECRET": "s3cret", **environ}
    assert evidence(tmp_path, environ=given).state_file == Path(file)
    assert evidence(tmp_path, 'state_file = "state"\n', given).state_file == tmp_path / "state"


def test_without_a_place_for_state_one_has_to_be_named(tmp_path: Path) -> None:
    bare = {"ARCHIVER_APPS__0__CLIENT_SECRET": "s3cret"}
    assert "evidence.state_file: is missing" in "".join(problems(tmp_path, LEDGER, bare))


def test_every_sink_has_its_own_keys_and_pace(tmp_path: Path) -> None:
    s3, file, webhook, authority = evidence(tmp_path, ALL).anchors
    assert isinstance(s3, S3Sink)
    assert (s3.url, s3.endpoint, s3.every_ms, s3.readable) == ("s3://acme-worm/checkpoints", None, 60_000, True)
    assert isinstance(file, FileSink)
    assert (file.path, file.every_ms, file.readable) == (tmp_path / "notes", 300_000, True)
    assert isinstance(webhook, WebhookSink)
    assert webhook.sign_secret is not None
    assert (webhook.form, webhook.every_ms, webhook.readable) == ("dingtalk", 3_600_000, False)
    assert webhook.sign_secret.get_secret_value() == "SEC1234"
    assert isinstance(authority, TimestampSink)
    assert (authority.url, authority.every_ms) == ("http://tsa.example.com/tsr", 86_400_000)


def test_sinks_have_names_that_differ_and_hold_no_secret(tmp_path: Path) -> None:
    other = '[[evidence.anchors]]\nsink = "webhook"\nform = "dingtalk"\nwebhook_file = "other"\n'
    (tmp_path / "other").write_text("https://oapi.dingtalk.com/robot/send?access_token=other")
    (tmp_path / "other").chmod(0o400)
    assert list(evidence(tmp_path, ALL + other).sinks) == [
        "s3:acme-worm/checkpoints",
        f"file:{tmp_path}/notes",
        "webhook:dingtalk",
        "rfc3161:tsa.example.com/tsr",
        "webhook:dingtalk#2",
    ]


def test_addresses_and_signing_secrets_never_show(tmp_path: Path) -> None:
    settings = load(tmp_path, LEDGER + ALL)
    described = config.describe(settings)["evidence"]
    assert [sink["sink"] for sink in described["anchors"]] == ["s3", "file", "webhook", "rfc3161"]
    assert described["anchors"][2]["webhook"] == described["anchors"][2]["sign_secret"] == "***"
    assert described["checkpoint"] == "1m"
    assert {"SEC1234", "access_token=t0k3n"} <= set(settings.secrets())
    assert "t0k3n" not in str(settings) + str(described)


def test_a_command_that_only_reads_needs_no_secret(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LEDGER + ALL + APP)
    settings = config.load(tmp_path / "config.toml", ENVIRON, offline=True)
    assert settings.evidence is not None
    assert list(settings.evidence.sinks)[2] == "webhook:dingtalk"


def test_the_environment_names_sinks_and_their_addresses(tmp_path: Path) -> None:
    given = {
        **ENVIRON,
        "ARCHIVER_EVIDENCE__NAME": "archive.example.com/other",
        "ARCHIVER_EVIDENCE__PUBLISH": "false",
        "ARCHIVER_EVIDENCE__ANCHORS__0__SINK": "webhook",
        "ARCHIVER_EVIDENCE__ANCHORS__0__WEBHOOK": "https://hooks.example.com/s3cr3t",
    }
    ours = evidence(tmp_path, environ=given)
    assert (ours.name, ours.publish, list(ours.sinks)) == ("archive.example.com/other", False, ["webhook:json"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[evidence]\n", "evidence.name: is missing; write a name"),
        ('[evidence]\nname = "a"\n', "evidence.key_file: is missing; name the file"),
        ('[evidence]\nname = "a b"\nkey_file = "k"\n', "is not a name for a ledger"),
        ('[evidence]\nname = "a+b"\nkey_file = "k"\n', "is not a name for a ledger"),
        ('[evidence]\nname = "a#2"\nkey_file = "k"\n', "is not a name for a ledger"),
        (LEDGER + "key = 1\n", "evidence.key: is unknown; did you mean key_file?"),
        (LEDGER + 'checkpoint = "0s"\n', "must be longer than zero"),
        (LEDGER + 'anchors = "x"\n', "evidence.anchors: is not a list of tables"),
        (LEDGER + '[[evidence.anchors]]\nsink = "ftp"\n', '\'ftp\' is unknown; write "file", "s3"'),
        (LEDGER + '[[evidence.anchors]]\npath = "x"\n', "evidence.anchors[0].sink: is missing; write"),
        (LEDGER + '[[evidence.anchors]]\nsink = "file"\n', "evidence.anchors[0].path: is missing; write a file"),
        (LEDGER + '[[evidence.anchors]]\nsink = "file"\npath = "x"\nurl = "y"\n', "anchors[0].url: is unknown"),
        (LEDGER + '[[evidence.anchors]]\nsink = "file"\npath = "x"\nevery = "1"\n', "is not a duration"),
        (LEDGER + '[[evidence.anchors]]\nsink = "s3"\n', "anchors[0].url: is missing; write s3://"),
        (LEDGER + '[[evidence.anchors]]\nsink = "s3"\nurl = "https://x"\n', "is not a bucket"),
        (LEDGER + '[[evidence.anchors]]\nsink = "webhook"\n', "anchors[0].webhook: is missing; name a file"),
        (LEDGER + '[[evidence.anchors]]\nsink = "webhook"\nwebhook_file = "none"\n', "cannot be read"),
        (
            LEDGER + '[[evidence.anchors]]\nsink = "webhook"\nwebhook_file = "hook"\nsign_secret_file = "sign"\n',
            'sign_secret: does not apply to this form; only "dingtalk"',
        ),
        (
            LEDGER + '[[evidence.anchors]]\nsink = "webhook"\nwebhook_file = "hook"\nwebhook = "https://x/y"\n',
            "webhook_file: stands beside webhook",
        ),
        (LEDGER + '[[evidence.anchors]]\nsink = "rfc3161"\nurl = "http://x"\n', "root_file: is missing"),
        (
            LEDGER + f'[[evidence.anchors]]\nsink = "rfc3161"\nurl = "http://u:p@x"\nroot_file = "{certifi.where()}"\n',
            "has a user or a password in it",
        ),
        (
            LEDGER + f'[[evidence.anchors]]\nsink = "rfc3161"\nurl = "ftp://x"\nroot_file = "{certifi.where()}"\n',
            "is not a URL",
        ),
        (LEDGER + '[[evidence.anchors]]\nsink = "rfc3161"\nurl = "http://x"\nroot_file = "key"\n', "cannot be read"),
        (
            LEDGER + '[[evidence.anchors]]\nsink = "file"\npath = "x"\n' * 2,
            "evidence.anchors[1]: is evidence.anchors[0] again; remove one",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(tmp_path: Path, text: str, part: str) -> None:
    reported = problems(tmp_path, text)
    assert any(part in problem for problem in reported), reported


def test_problems_of_several_sinks_come_at_once(tmp_path: Path) -> None:
    text = LEDGER + '[[evidence.anchors]]\nsink = "ftp"\n[[evidence.anchors]]\nsink = "s3"\n'
    assert len(problems(tmp_path, text)) == 2


def test_a_key_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o644)
    assert "evidence.key_file: everybody may read" in "".join(load(tmp_path, LEDGER).warnings)
    (tmp_path / "key").chmod(0o600)
    assert load(tmp_path, LEDGER).warnings == ()


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What check-config says on standard error of an SQLite archive with these sinks."""
    for name, value in {**ENVIRON, "HOME": str(tmp_path), "STATE_DIRECTORY": "", "XDG_STATE_HOME": ""}.items():
        monkeypatch.setenv(name, value)

    def call(more: str, ledger: str = LEDGER) -> str:
        (tmp_path / "data").mkdir(exist_ok=True)
        load(tmp_path, f'[database]\nurl = "sqlite:///{tmp_path}/data/archive.db"\n' + ledger + more)
        capsys.readouterr()
        assert cli.invoke(["--config", str(tmp_path / "config.toml"), "check-config"]) == 0
        return capsys.readouterr().err

    return call


def test_check_config_names_what_nobody_would_notice_without_sinks(check: Callable[..., str]) -> None:
    said = check("")
    assert "no [[evidence.anchors]]; nobody would notice if the latest entries were cut off" in said


def test_check_config_names_what_root_could_do_with_files_on_its_own_disk(check: Callable[..., str]) -> None:
    said = check('[[evidence.anchors]]\nsink = "file"\npath = "notes"\n')
    assert "all sinks are files on this machine's own disks" in said
    assert "warning" not in check(ALL)


def test_a_file_on_another_mount_may_be_held_by_others(check: Callable[..., str]) -> None:
    assert "warning" not in check('[[evidence.anchors]]\nsink = "file"\npath = "/sys/notes"\n')


def test_check_config_warns_where_a_restore_or_a_clone_takes_state_or_key_along(check: Callable[..., str]) -> None:
    said = check(f'state_file = "data/state"\n{ALL}')
    assert "evidence.state_file" in said
    assert "a restored archive does not notice it" in said
    assert "evidence.key_file" not in said
    said = check(ALL, LEDGER.replace('"key"', '"data/key"'))
    assert "every clone can sign" in said

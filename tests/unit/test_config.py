"""The configuration is understood as a whole, or refused with every problem at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import cli, config
from archiver.config import App, Rate, Settings, draft
from archiver.errors import ConfigurationError

SECRET = {"ARCHIVER_APPS__0__CLIENT_SECRET": "s3cret"}
APP = """
[[apps]]
org = "acme"
app = "chat"
client_id = "id"
start = 2026-11-01T00:00:00Z
"""


def load(tmp_path: Path, text: str, environ: Mapping[str, str] = SECRET) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file, environ)


def app(tmp_path: Path, more: str = "", environ: Mapping[str, str] = SECRET) -> App:
    return load(tmp_path, APP + more, environ).apps[0]


def problems(tmp_path: Path, text: str, environ: Mapping[str, str] = SECRET) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, environ)
    return caught.value.problems


def problem(tmp_path: Path, text: str, environ: Mapping[str, str] = SECRET) -> str:
    found = problems(tmp_path, text, environ)
    assert len(found) == 1, found
    return found[0]


def test_cursor_defaults(tmp_path: Path) -> None:
    one = app(tmp_path)
    assert (one.name, one.prefix, one.base_url) == ("acme#chat", "/acme/chat", "https://a1.easemob.com")
    assert (one.source, one.settle_ms, one.audits_ms) == ("cursor", 120_000, (3_600_000, 86_400_000))
    assert (one.rate, one.retention_ms, one.early_ms) == (Rate(1, 1_000), None, None)
    assert (one.page_size, one.workers, one.dialect, one.give_up_ms, one.send_api) == (1000, 1, "both", 30_000, "2014")
    assert one.start_ms == 1_793_491_200_000


def test_hourly_defaults(tmp_path: Path) -> None:
    one = app(tmp_path, 'source = "hourly"')
    assert (one.settle_ms, one.audits_ms, one.early_ms) == (86_400_000, (59 * 3_600_000,), 3_600_000)
    assert (one.rate, one.retention_ms, one.hour_utc_offset_ms) == (Rate(10, 60_000), 72 * 3_600_000, 8 * 3_600_000)


def test_section_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, APP)
    assert settings.database.sqlalchemy_url == "sqlite:///archive.db"
    assert (settings.schedule.every_ms, settings.schedule.lease_ms) == (60_000, 180_000)
    assert (settings.http.deadline_ms, settings.attachments, settings.warnings) == (60_000, None, ())


def test_the_example_loads_and_holds_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, config.example())
    ours, defaults = dict(settings.apps[0]), dict(app(tmp_path))
    assert {key for key, value in ours.items() if value != defaults[key]} == {"org", "app", "client_id"}
    assert settings.model_copy(update={"apps": ()}) == load(tmp_path, APP).model_copy(update={"apps": ()})


def test_every_key_is_in_the_example() -> None:
    text = config.example()
    for section in (config.Database, config.Schedule, config.Http, config.App, config.Attachments):
        for name, field in section.model_fields.items():
            assert f"{field.alias or name} = " in text or name == "client_secret", name
    assert "client_secret_file = " in text


def test_all_problems_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [databse]
        url = "sqlite:///x.db"
        [http]
        deadline = 60
        [schedule]
        lease = "forever"
        [[apps]]
        org = "acme"
        rate = "10/fortnight"
        audits = ["1m"]
        retenton = "3d"
        """,
        {"ARCHIVER_APPS__0__WORKERS": "65", "ARCHIVER_HTTP__DEADLNE": "1s"},
    )
    text = "\n".join(found)
    assert "databse: is unknown; did you mean database?" in found
    assert "http.deadlne (ARCHIVER_HTTP__DEADLNE): is unknown; did you mean deadline?" in found
    assert "apps[0].retenton: is unknown; did you mean retention?" in found
    assert "apps[0].audits: 1m does not exceed settle (2m); lengthen it, or write []" in found
    assert "apps[0].workers (ARCHIVER_APPS__0__WORKERS): '65' is not a whole number from 1 to 64" in found
    assert "http.deadline: 60 is not a duration" in text
    assert "schedule.lease: 'forever' is not a duration" in text
    assert "apps[0].rate: '10/fortnight' is not a rate" in text
    for key in ("app", "client_id", "client_secret", "start"):
        assert f"apps[0].{key}: is missing; " in text
    assert len(found) == 12


def test_a_key_of_another_section_is_pointed_out(tmp_path: Path) -> None:
    assert "did you mean deadline in [http]?" in problem(tmp_path, '[schedule]\ndeadline = "60s"' + APP)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[apps]\norg = 'x'", "begin every app with [[apps]]"),
        ("database = 3" + APP, "begin it with [database]"),
        ("", "none is configured; begin one with [[apps]]"),
    ],
)
def test_the_wrong_shape_is_explained(tmp_path: Path, text: str, part: str) -> None:
    assert part in "\n".join(problems(tmp_path, text, {}))


@pytest.mark.parametrize("text", ["a = ", "\x00", "[[apps]]\n[apps]"])
def test_what_is_not_toml_is_said_so(tmp_path: Path, text: str) -> None:
    assert "config.toml: is not TOML: " in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("\u00a0org = 'x'", "U+00A0, no-break space"),
        ("\u3000org = 'x'", "U+3000, ideographic space"),
        ("org ＝ 'x'", "U+FF1D, fullwidth equals sign"),
        ("org = “x”", "U+201C, left double quotation mark"),
        ("\ufefforg = 'x'", "U+FEFF, zero width no-break space"),
        ("\x1a", "U+001A, a control character"),
    ],
)
def test_a_sign_that_people_take_for_another_one_is_named(tmp_path: Path, line: str, sign: str) -> None:
    assert "line 3, column" in (found := problem(tmp_path, f"\n[[apps]]\n{line}\n"))
    assert f"that line holds {sign}" in found


def test_text_of_people_is_not_blamed_for_what_is_wrong_beside_it(tmp_path: Path) -> None:
    assert "holds U+" not in problem(tmp_path, "a = '数据，库' 1")


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file") as caught:
        config.load(tmp_path / "config.toml", SECRET)
    assert "archiver init" in (caught.value.hint or "")


def test_the_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {"ORG": "acme", "APP": "chat", "CLIENT_ID": "id", "CLIENT_SECRET": "s", "START": "1793491200000"}
    environ = {f"ARCHIVER_APPS__0__{key}": value for key, value in keys.items()}
    settings = config.load(Path("config.toml"), environ | {"ARCHIVER_DATABASE__URL": "postgresql://u@h/d"})
    assert settings.apps[0].start_ms == 1_793_491_200_000
    assert settings.database.sqlalchemy_url == "postgresql+psycopg://u@h/d"
    assert settings.warnings == ()
    with pytest.raises(ConfigurationError):
        config.load(Path("other.toml"), environ)


def test_the_environment_wins_and_only_double_underscores_count(tmp_path: Path) -> None:
    environ = {
        **SECRET,
        "ARCHIVER_APPS__0__AUDITS": "2h, 3h",
        "ARCHIVER_APPS__0__RATE": "100/h",
        "ARCHIVER_CONFIG": "elsewhere.toml",
        "ARCHIVER_TEST_POSTGRES_URL": "whatever",
        "PATH": "/bin",
    }
    one = app(tmp_path, 'rate = "1/s"', environ)
    assert (one.audits_ms, one.rate) == ((7_200_000, 10_800_000), Rate(100, 3_600_000))


@pytest.mark.parametrize(
    ("value", "lags"), [("", ()), ('["2h"]', (7_200_000,)), ("[]", ()), ("3d,2h", (7_200_000, 259_200_000))]
)
def test_a_list_by_environment(tmp_path: Path, value: str, lags: tuple[int, ...]) -> None:
    assert app(tmp_path, "", {**SECRET, "ARCHIVER_APPS__0__AUDITS": value}).audits_ms == lags


def test_a_second_app_by_environment_counts_on(tmp_path: Path) -> None:
    environ = SECRET | {
        "ARCHIVER_APPS__1__ORG": "acme",
        "ARCHIVER_APPS__1__APP": "other",
        "ARCHIVER_APPS__1__CLIENT_ID": "id",
        "ARCHIVER_APPS__1__CLIENT_SECRET": "s",
        "ARCHIVER_APPS__1__START": "2026-11-01T08:00:00+08:00",
    }
    assert [one.name for one in load(tmp_path, APP, environ).apps] == ["acme#chat", "acme#other"]
    gap = {"ARCHIVER_APPS__7__ORG": "acme"}
    assert "without a gap" in problem(tmp_path, APP, SECRET | gap)


@pytest.mark.parametrize("name", ["ARCHIVER_NOTHING__HERE", "ARCHIVER_APPS__0__CLIENT__SECRET", "ARCHIVER___X"])
def test_unknown_variables_are_named(tmp_path: Path, name: str) -> None:
    assert name in problem(tmp_path, APP, SECRET | {name: "1"})


def test_the_secret_never_shows(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[database]\nurl = "postgres://u:hunter2@h/d?sslpassword=hunter3"' + APP + 'client_secret = "s3cret"',
        {},
    )
    shown = repr(settings) + str(settings) + str(config.describe(settings))
    assert not any(word in shown for word in ("s3cret", "hunter2", "hunter3"))
    assert config.describe(settings)["apps"][0]["client_secret"] == "***"
    assert config.describe(settings)["database"]["url"] == "postgresql+psycopg://u:***@h/d?sslpassword=***"
    assert set(settings.secrets()) == {"s3cret", "hunter2", "hunter3"}
    assert settings.database.sqlalchemy_url == "postgresql+psycopg://u:hunter2@h/d?sslpassword=hunter3"
    assert "apps[0].client_secret: the secret stands in the file" in settings.warnings[0]


def test_no_problem_quotes_a_secret(tmp_path: Path) -> None:
    text = '[database]\nurl = "mysql://u:hunter2@h/d"' + APP + 'client_secret = ["s3cret"]\nbase_url = "https://u:pw@h"'
    shown = "\n".join(problems(tmp_path, text, {}))
    assert "apps[0].client_secret: must be text in quotes" in shown
    assert not any(word in shown for word in ("s3cret", "hunter2", "pw"))


def test_the_secret_file_is_read_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(b"from file\r\n")
    (tmp_path / "secret").chmod(0o400)
    settings = load(tmp_path, APP + 'client_secret_file = "secret"', {})
    assert settings.apps[0].client_secret.get_secret_value() == "from file"
    assert settings.warnings == ()
    (tmp_path / "secret").chmod(0o444)
    assert "everybody may read" in load(tmp_path, APP + 'client_secret_file = "secret"', {}).warnings[0]
    monkeypatch.setattr(draft, "CONTAINER_SECRETS", tmp_path)  # where an engine would have put it
    assert load(tmp_path, APP + 'client_secret_file = "secret"', {}).warnings == ()


def test_a_secret_of_kubernetes_is_no_cause_for_a_warning(tmp_path: Path) -> None:
    """A volume of its: files are links into a folder that is replaced as a whole, and everybody within may read."""
    for name in ("usual", "..2026_11_28"):
        (tmp_path / name).mkdir()
    (tmp_path / "..2026_11_28/key").write_text("s3cret")
    (tmp_path / "..2026_11_28/key").chmod(0o444)
    (tmp_path / "..data").symlink_to("..2026_11_28")
    (tmp_path / "key").symlink_to("..data/key")
    assert load(tmp_path, APP + 'client_secret_file = "key"', {}).warnings == ()
    (tmp_path / "usual/key").symlink_to(tmp_path / "..2026_11_28/key")
    assert "everybody may read" in load(tmp_path, APP + 'client_secret_file = "usual/key"', {}).warnings[0]


def test_what_lies_under_run_secrets_is_known_by_either_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run/secrets").mkdir(parents=True)
    (tmp_path / "run/secrets/key").write_text("s3cret")
    (tmp_path / "elsewhere").write_text("s3cret")
    (tmp_path / "var").symlink_to(".")
    monkeypatch.setattr(draft, "CONTAINER_SECRETS", tmp_path / "run/secrets")
    for name in ("run/secrets/key", "var/run/secrets/key"):
        assert load(tmp_path, APP + f'client_secret_file = "{name}"', {}).warnings == (), name
    out = load(tmp_path, APP + 'client_secret_file = "run/secrets/../../elsewhere"', {})
    assert "everybody may read" in out.warnings[0]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"\xef\xbb\xbfs3cret\r\n", "begins with a byte order mark"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b"s3cret \n", "has blanks beside it"),
        (b"\ts3cret", "has blanks beside it"),
        (b"\ns3cret\n", "has an empty line"),
        (b"s3cret\nand more\n", "or more than one"),
        ("s3\u200bcret".encode(), "holds characters that cannot be seen"),
        ("s3cret\n".encode("utf-16"), "UTF-16 text, not UTF-8; save it as UTF-8"),
        ("s3cret\n".encode("utf-16-be"), "UTF-16 text"),
        ("密码\n".encode("gbk"), "not UTF-8 text (line 1)"),
        ("s3cret\n".encode("utf-32"), "UTF-32 text"),
        (b'"s3cret"\n', "stands in quotes"),
        (b"'s3cret'", "stands in quotes"),
        ("“s3cret”".encode(), "stands in quotes"),
    ],
)
def test_what_came_along_with_a_secret_is_refused_before_the_provider_does(
    tmp_path: Path, content: bytes, part: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    found = problem(tmp_path, APP + 'client_secret_file = "secret"', {})
    assert found.startswith("apps[0].client_secret_file: ")
    assert part in found
    assert "3cret" not in found
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    if text.strip("\r\n") == text and "\0" not in text:  # the same by environment
        given = problem(tmp_path, APP, {"ARCHIVER_APPS__0__CLIENT_SECRET": text})
        assert part in given
        assert "3cret" not in given


def test_a_password_may_hold_blanks_and_no_line(tmp_path: Path) -> None:
    text = '[database]\nurl = "postgresql://me@h/d"\npassword_file = "pw"' + APP
    (tmp_path / "pw").write_text(" a b \n")
    assert ":%20a%20b%20@h" in load(tmp_path, text).database.sqlalchemy_url
    (tmp_path / "pw").write_text("\na b\n")
    assert problem(tmp_path, text).startswith("database.password_file: ")


def test_a_client_id_is_pasted_alone(tmp_path: Path) -> None:
    found = problem(tmp_path, APP.replace('"id"', '"id "'))
    assert found == "apps[0].client_id: has blanks beside it; write it alone, as the console shows it"


def test_a_configuration_as_editors_on_windows_save_it(tmp_path: Path) -> None:
    file, text = tmp_path / "config.toml", "# 配置\n" + APP
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert config.load(file, SECRET).apps[0].name == "acme#chat"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        file.write_bytes(text.encode(encoding))
        with pytest.raises(ConfigurationError, match="is UTF-16 text, not UTF-8; save it as UTF-8: iconv"):
            config.load(file, SECRET)
    file.write_bytes(b"\n" + text.encode("gbk"))
    with pytest.raises(ConfigurationError, match=r"is not UTF-8 text \(line 2\); save it as UTF-8: iconv -f GB18030"):
        config.load(file, SECRET)


@pytest.mark.parametrize(
    ("content", "part"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8")]
)
def test_an_unusable_secret_file_is_one_problem(tmp_path: Path, content: bytes | None, part: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    found = problem(tmp_path, APP + 'client_secret_file = "secret"', {})
    assert found.startswith("apps[0].client_secret_file: ")
    assert part in found


def test_two_places_for_the_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from file")
    (tmp_path / "secret").chmod(0o400)
    both = 'client_secret = "inline"\nclient_secret_file = "secret"'
    assert "keep one of them" in problem(tmp_path, APP + both, {})
    by_environment = app(tmp_path, 'client_secret_file = "secret"', SECRET)
    assert by_environment.client_secret.get_secret_value() == "s3cret"
    file_by_environment = app(tmp_path, 'client_secret = "inline"', {"ARCHIVER_APPS__0__CLIENT_SECRET_FILE": "secret"})
    assert file_by_environment.client_secret.get_secret_value() == "from file"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('source = "hourly"\ndialect = "both"', 'dialect: does not apply to source = "hourly"'),
        ('early = "1h"', 'early: does not apply to source = "cursor"'),
        ('hour_utc_offset = "+08:00"', "hour_utc_offset: does not apply"),
        ('source = "ql"', 'source: must be "cursor" or "hourly"'),
        ("page_size = 1001", "page_size: 1001 is not a whole number from 1 to 1000"),
        ("page_size = true", "page_size: True is not"),
        ("page_size = 10.0", "page_size: 10.0 is not"),
        ("workers = 0", "workers: 0 is not"),
        ('audits = ["2m"]', "audits: 2m does not exceed settle (2m)"),
        ('retention = "24h"', "audits: 1d is not below retention (1d)"),
        ('audits = []\nretention = "1m"', "settle: 2m is not below retention (1m)"),
        ('source = "hourly"\nretention = "48h"', "audits: 59h is not below retention (2d)"),
        ('audits = "often"', "audits: 'often' is not a duration"),
        ("audits = 3", "audits: 3 is not a list of durations"),
        ('give_up = "0s"', "give_up: must be longer than zero"),
        ('source = "hourly"\nhour_utc_offset = "8"', "hour_utc_offset: '8' is not an offset"),
        ("send_api = 2014", 'send_api: must be "2014" or "current"'),
        ('client_id = ""', "client_id: is empty"),
        ('app_id = "a/b"', "app_id: 'a/b' is not a name"),
        ('path_prefix = "/app-id/{app_id}"', "path_prefix: '/app-id/{app_id}' needs app_id"),
        ('path_prefix = "/{org}/../{app}"', "path_prefix: '/{org}/../{app}' is not a path"),
        ('path_prefix = "/{secret}"', "path_prefix: '/{secret}' is not a path"),
        ('path_prefix = "/{org}?x="', "path_prefix: "),
        ('rate = "0/s"', "rate: '0/s' is not a rate"),
    ],
)
def test_one_bad_setting(tmp_path: Path, line: str, part: str) -> None:
    text = APP.replace('client_id = "id"', "") if line.startswith("client_id") else APP
    assert problem(tmp_path, text + line).startswith("apps[0]." + part)


def test_the_shengwang_prefix(tmp_path: Path) -> None:
    assert app(tmp_path, 'path_prefix = "/app-id/{app_id}"\napp_id = "0af1"').prefix == "/app-id/0af1"


def test_early_can_be_off(tmp_path: Path) -> None:
    assert app(tmp_path, 'source = "hourly"\nearly = "off"').early_ms is None


def test_lease_covers_three_deadlines(tmp_path: Path) -> None:
    found = problem(tmp_path, '[http]\ndeadline = "90s"' + APP)
    assert found == "schedule.lease: must be at least 3 x [http] deadline; write 270s or more"


def test_the_same_app_and_source_twice(tmp_path: Path) -> None:
    environ = SECRET | {"ARCHIVER_APPS__1__CLIENT_SECRET": "s"}
    assert "apps[1]: acme#chat with this source is apps[0] already" in problem(tmp_path, APP + APP, environ)
    assert len(load(tmp_path, APP + APP + 'source = "hourly"', environ).apps) == 2


@pytest.mark.parametrize(
    "url",
    [
        "https://a1.easemob.com",
        "https://a1.easemob.com/",
        "https://a1.easemob.com:8443/proxy",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://localhost:1",
        "http://[::1]:80",
    ],
)
def test_good_base_urls(tmp_path: Path, url: str) -> None:
    assert app(tmp_path, f'base_url = "{url}"').base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://a1.easemob.com",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "http://127.0.0.1\\\\@a1.easemob.com",
        "https://user:secret@a1.easemob.com",
        "https://a1.easemob.com?x=1",
        "https://a1.easemob.com#x",
        "https://a1.easemob.com:port",
        "https://",
        "a1.easemob.com",
        "ftp://a1.easemob.com",
        "https://a1 .easemob.com",
        "https://[::1",
    ],
)
def test_bad_base_urls(tmp_path: Path, url: str) -> None:
    assert problem(tmp_path, APP + f'base_url = "{url}"').startswith("apps[0].base_url: ")


@pytest.mark.parametrize(
    ("given_url", "normal"),
    [
        ("sqlite:///archive.db", "sqlite:///archive.db"),
        ("sqlite:////var/lib/a.db", "sqlite:////var/lib/a.db"),
        ("postgresql://u:p@h:5432/d", "postgresql+psycopg://u:p@h:5432/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg:///d?host=/run", "postgresql+psycopg:///d?host=/run"),
        ("postgresql://u:a/b?c:d#e@h/d", "postgresql+psycopg://u:a/b?c:d#e@h/d"),
        ("postgresql://h:5432/d?user=me@server", "postgresql+psycopg://h:5432/d?user=me@server"),
        ("postgresql://u@[::1]:5432/d", "postgresql+psycopg://u@[::1]:5432/d"),
        ("postgresql://u@h1,h2:2/d", "postgresql+psycopg://u@/d?host=h1,h2&port=,2"),
        (
            "postgresql://u:pw@h:/d?sslmode=require&sslmode=disable",  # no port is the usual one; the last one counts
            "postgresql+psycopg://u:pw@h/d?sslmode=disable",
        ),
        ("postgresql://u@h1,h2/d?port=1,2", "postgresql+psycopg://u@/d?host=h1,h2&port=1,2"),
        (
            "postgresql://u@[::1]:1,h2:2/d?target_session_attrs=read-write",
            "postgresql+psycopg://u@/d?host=%3A%3A1,h2&port=1,2&target_session_attrs=read-write",
        ),
        ("postgresql://u@%2Frun%2Fpg:5433/d", "postgresql+psycopg://u@/d?host=%2Frun%2Fpg&port=5433"),
        (
            "postgresql://u@h/d?ssl=true&connect_timeout=5",
            "postgresql+psycopg://u@h/d?sslmode=require&connect_timeout=5",
        ),
        ("postgresql://h", "postgresql+psycopg://h"),
        ("postgresql://", "postgresql+psycopg://"),
    ],
)
def test_good_database_urls(tmp_path: Path, given_url: str, normal: str) -> None:
    assert load(tmp_path, f'[database]\nurl = "{given_url}"' + APP).database.sqlalchemy_url == normal


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://a.db",
        "archive.db",
        "postgresql+psycopg2://h/d",
        "sqlite:////q?uery.db",
        "sqlite:////q.db?mode=ro",
        "postgresql://u@h:notaport/d",
        "postgresql://u@h:0/d",
        "postgresql://u@h:65536/d",
        "postgresql://u@h:1,h:x/d",
        "postgresql://u@[::1/d",
        "postgresql://u@h/d?prepare_threshold=0",
        "postgresql://u@h/d?sslmod=require",
        "postgresql://u@h/d?sslmode=on",
        "postgresql://u@h/d?target_session_attrs=master",
        "postgresql://u@h/d ",
        "sqlite:///archive.db ",
        "postgresql://u@h/d?connect_timeout=5s",
        "postgresql://u@/d?host=h&port=1x",
    ],
)
def test_bad_database_urls(tmp_path: Path, url: str) -> None:
    said = problem(tmp_path, f'[database]\nurl = "{url}"' + APP)
    assert said.startswith("database.url: ")
    assert re.search(r"write|leave|remove|did you mean|is one of|not a number|whole number|supported", said)


PASSWORDS = ["a@Rest", "@Rest", "a@Rest?x", "a?b@Rest", "a@Rest/b", "a@b@Rest", "Rest/a", "a:Rest"]
AFTER = ["@127.0.0.1:1/d", "@127.0.0.1:1/d?sslmode=disable", "@/d?host=/run&Rest=1", "@127.0.0.1:1,[::1]:1/d"]


@pytest.mark.full
@pytest.mark.parametrize(
    "end", [p + a for p in PASSWORDS for a in AFTER] + ["Rest/d", "a:Rest/d", "Rest?sslmode=disable"]
)
def test_a_password_that_is_not_escaped_is_never_shown(
    tmp_path: Path,
    end: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Be it refused or understood."""
    monkeypatch.setenv(*next(iter(SECRET.items())))
    (tmp_path / "config.toml").write_text(f'[database]\nurl = "postgresql://u:{end}"' + APP)
    for command in ("check-config", "status"):
        code = cli.invoke(["--config", str(tmp_path / "config.toml"), command])
        said = "".join(capsys.readouterr())
        assert "Rest" not in said
        assert "Traceback" not in said
        assert code in (0, 2, 75)
        if end.count("@") > 1:
            assert code == 2
            assert "%40" in said


def test_attachments(tmp_path: Path) -> None:
    settings = load(tmp_path, '[attachments]\nstore = "s3://bucket/a b"' + APP)
    assert settings.attachments is not None
    hosts: dict[str, list[str]] = {"file_hosts": [], "redirect_hosts": [], "foreign_hosts": []}
    told = {"store": "s3://bucket/a b", "endpoint": None, "rate": "10/s", "workers": 4, **hosts}
    assert config.describe(settings)["attachments"] == told
    text = '[attachments]\nstore = "file:///a"\nforeign_hosts = ["CDN.example.com", "b.example:8443"]' + APP
    found = load(tmp_path, text).attachments
    assert found is not None
    assert found.foreign_hosts == ("cdn.example.com", "b.example:8443")
    for odd in ("https://a.example", "a.example/x", "*", "[::1]", "a b", "", "a@b"):
        text = f'[attachments]\nstore = "file:///a"\nforeign_hosts = ["{odd}"]' + APP
        assert "is not a host" in problem(tmp_path, text)
    assert "attachments.store: is missing" in problem(tmp_path, "[attachments]" + APP)
    assert "is not a store" in problem(tmp_path, '[attachments]\nstore = "/var/lib"' + APP)
    assert "write ? as %3F" in problem(tmp_path, '[attachments]\nstore = "file:///a?b#c"' + APP)


def test_what_is_described_loads_again(tmp_path: Path) -> None:
    settings = load(tmp_path, APP + 'source = "hourly"\nhour_utc_offset = "-05:30"\nrate = "7/h"')
    told = config.describe(settings)["apps"][0]
    assert (told["rate"], told["start"], told["hour_utc_offset"]) == ("7/h", "2026-11-01T00:00:00Z", "-05:30")
    assert (told["early"], told["audits"], told["retention"], told["page_size"]) == ("1h", ["59h"], "3d", 1000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-01T00:00:00Z", 1_793_491_200_000),
        ("2026-11-01t00:00:00.5z", 1_793_491_200_500),
        ("2026-11-01T08:00:00+08:00", 1_793_491_200_000),
        ("1793491200000", 1_793_491_200_000),
        (1_793_491_200_000, 1_793_491_200_000),
        ("0", 0),
    ],
)
def test_times(text: object, ms: int) -> None:
    assert config.parse_time(text) == ms


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1793491200", "did you mean 1793491200000?"),
        (1_793_491_200, "looks like seconds"),
        ("2026-11-01T00:00:00", "has no zone"),
        ("2026-11-01", "has no zone"),
        ("yesterday", "is not a time"),
        (True, "is not a time"),
        (1.5, "is not a time"),
        ("-1", "outside the years"),
        ("1969-12-31T00:00:00Z", "outside the years"),
        ("1793491200000000", "outside the years"),
    ],
)
def test_refused_times(text: object, part: str) -> None:
    with pytest.raises(ValueError, match=part.replace("?", r"\?")):
        config.parse_time(text)


def test_a_toml_time_without_zone_is_refused(tmp_path: Path) -> None:
    text = APP.replace("00:00:00Z", "00:00:00")
    assert "has no zone" in problem(tmp_path, text)


@given(st.integers(0, 3_000_000_000_000))
def test_durations_survive_their_text(ms: int) -> None:
    assert config.parse_duration(config.duration_text(ms)) == ms


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "1h30m", 90, None, "9" * 15 + "d"])
def test_refused_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|hundred years"):
        config.parse_duration(text)


def test_the_database_password_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "pg").write_text("p@ss/w:rd\n")
    (tmp_path / "pg").chmod(0o400)
    text = '[database]\nurl = "postgresql://me@db/archive"\npassword_file = "pg"\n' + APP
    settings = load(tmp_path, text)
    assert settings.database.sqlalchemy_url == "postgresql+psycopg://me:p%40ss%2Fw%3Ard@db/archive"
    assert settings.database.safe_url == "postgresql+psycopg://me:***@db/archive"
    assert "p%40ss%2Fw%3Ard" in list(settings.secrets())
    for url in ("sqlite:///archive.db", "postgresql://me:x@db/archive", "postgresql://db/archive"):
        wrong = problem(tmp_path, text.replace("postgresql://me@db/archive", url))
        assert "database.password_file: needs a url with a user and without a password" in wrong


def test_alerts_come_from_files_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.com/T0/s3cr3t?key=k3y\n")
    (tmp_path / "hook").chmod(0o400)
    text = '[alerts]\nwebhook_file = "hook"\n' + APP
    settings = load(tmp_path, text)
    assert settings.alerts is not None
    assert settings.alerts.webhook is not None
    assert settings.alerts.webhook.get_secret_value() == "https://hooks.example.com/T0/s3cr3t?key=k3y"
    assert {"T0/s3cr3t", "key=k3y"} <= set(settings.secrets())
    assert settings.warnings == ()
    environ = {"ARCHIVER_ALERTS__WEBHOOK": "https://other.example.com/x"}
    settings = load(tmp_path, text, {**SECRET, **environ})
    assert settings.alerts is not None
    assert settings.alerts.webhook is not None
    assert settings.alerts.webhook.get_secret_value() == "https://other.example.com/x"
    (tmp_path / "hook").write_text("http://hooks.example.com/s3cr3t")
    wrong = problem(tmp_path, text)
    assert "would be sent unencrypted" in wrong
    assert "s3cr3t" not in wrong
    for url in ("https://[::1/s3cr3t", "https://h:99999/s3cr3t", "https://例え/s3cr3t", "https:/h/s3cr3t"):
        (tmp_path / "hook").write_text(url)
        assert "is not a URL" in (wrong := problem(tmp_path, text))
        assert "s3cr3t" not in wrong
    assert "cannot be read" in problem(tmp_path, text.replace('"hook"', '"nowhere"'))


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ('user = "a"\ngroup = "b"', "stands beside user"),
        ('every = "1m"', "has no target"),
        ('user = "a"\napp = "other"', "no app named 'other'"),
    ],
)
def test_a_canary_needs_one_target(tmp_path: Path, keys: str, word: str) -> None:
    assert word in problem(tmp_path, f"[canary]\n{keys}\n" + APP)


@pytest.mark.parametrize("listen", ["9473", "localhost:", "127.0.0.1:99999", ":9473", "a b:1"])
def test_an_address_to_listen_on(tmp_path: Path, listen: str) -> None:
    assert "is not an address to listen on" in problem(tmp_path, f'[metrics]\nlisten = "{listen}"\n' + APP)


@pytest.mark.parametrize("url", ["http://192.168.1.5:12001", "http://rest:8080", "http://[fd00::5]:80"])
def test_plain_http_needs_a_word_of_its_own_and_a_private_address(tmp_path: Path, url: str) -> None:
    assert "or allow_plain_http = true in a network of your own" in problem(tmp_path, APP + f'base_url = "{url}"\n')
    found = load(tmp_path, APP + f'base_url = "{url}"\nallow_plain_http = true\n')
    assert found.apps[0].base_url == url
    assert any("unencrypted" in warning for warning in found.warnings)


@pytest.mark.parametrize("url", ["http://8.8.8.8", "http://169.254.169.254", "http://100.64.0.1:80"])
def test_plain_http_is_refused_for_every_other_address(tmp_path: Path, url: str) -> None:
    assert "not a private address" in problem(tmp_path, APP + f'base_url = "{url}"\nallow_plain_http = true\n')
    assert "allow_plain_http" not in problem(tmp_path, APP + f'base_url = "{url}"\n')


def test_certificates_are_looked_at_before_anything_is_asked(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    assert "holds no certificates in PEM" in problem(tmp_path, f'[http]\nca_file = "{bundle}"' + APP)
    assert "cannot be read" in problem(tmp_path, '[http]\nca_file = "/nowhere/ca.pem"' + APP)
    found = load(tmp_path, APP, SECRET | {"SSL_CERT_FILE": str(bundle)})
    assert found.http.ca_file is None
    assert any("SSL_CERT_FILE" in warning for warning in found.warnings)
    good = certifi.where()
    assert load(tmp_path, APP, SECRET | {"REQUESTS_CA_BUNDLE": good}).http.ca_path == good
    assert (
        load(tmp_path, f'[http]\nca_file = "{good}"' + APP, SECRET | {"SSL_CERT_FILE": str(bundle)}).http.ca_path
        == good
    )


def test_a_proxy_s_password_is_a_secret(tmp_path: Path) -> None:
    for bad in (
        "proxy.example.com:3128",
        "https://proxy:3128",
        "socks5://proxy:1080",
        "http://proxy",
        "http://p:99999",
    ):
        assert "is not the address of a proxy" in problem(tmp_path, f'[http]\nproxy = "{bad}"' + APP)
    found = load(tmp_path, APP, SECRET | {"ARCHIVER_HTTP__PROXY": "http://me:pr0xy-pass@proxy.example.com:3128"})
    assert found.http.proxy_url == "http://me:pr0xy-pass@proxy.example.com:3128"
    for sign in "/?#@ ä":  # where another reader would see the end of the host
        wrong = problem(tmp_path, APP, SECRET | {"ARCHIVER_HTTP__PROXY": f"http://me:pr0xy{sign}pass@proxy:3128"})
        assert "is not the address of a proxy" in wrong
        assert "pr0xy" not in wrong
    assert "pr0xy-pass" in list(found.secrets())
    assert "pr0xy-pass" not in str(config.describe(found))

"""[callbacks]: what is understood, and every problem with its key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver import config
from archiver.errors import ConfigurationError

APP = '[[apps]]\norg = "acme"\napp = "support"\nclient_id = "i"\nclient_secret = "s"\nstart = 0\n'
RECEIVED = '[[callbacks.apps]]\napp = "acme#support"\nalias = "support"\ntoken_file = "token"\nsecrets_file = "/s"\n'


def load(tmp_path: Path, text: str) -> config.Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return config.load(path, {"ARCHIVER_APPS__0__CLIENT_SECRET": "s"})


def test_callbacks_are_understood_and_described_in_the_words_of_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, APP + '[callbacks]\nspool = "spool"\n' + RECEIVED)
    assert settings.callbacks is not None
    assert (settings.callbacks.host, settings.callbacks.port) == ("127.0.0.1", 9490)
    assert config.describe(settings)["callbacks"] == {
        "spool": str(tmp_path / "spool"),
        "listen": "127.0.0.1:9490",
        "apps": [
            {
                "app": "acme#support",
                "alias": "support",
                "partial": False,
                "token_file": str(tmp_path / "token"),
                "secrets_file": "/s",
            }
        ],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[callbacks]\n" + RECEIVED, "callbacks.spool: is missing; name a folder"),
        ('[callbacks]\nspool = "s"\n', "callbacks.apps: none is configured"),
        ('[callbacks]\nspool = "s"\napps = 1\n', "callbacks.apps: is not a list of tables"),
        ('[callbacks]\nspool = "s"\nlisten = "x"\n' + RECEIVED, "callbacks.listen: 'x' is not an address"),
        ('[callbacks]\nspool = "s"\nspoool = "s"\n' + RECEIVED, "callbacks.spoool: is unknown; did you mean spool?"),
        (
            '[callbacks]\nspool = "s"\n' + RECEIVED.replace("acme#support", "acme#other"),
            "callbacks.apps[0].app: no app named 'acme#other' is configured in [[apps]]; there is: acme#support",
        ),
        ('[callbacks]\nspool = "s"\n' + RECEIVED.replace('"support"', '"../x"'), "callbacks.apps[0].alias: '../x' is"),
        (
            '[callbacks]\nspool = "s"\n' + RECEIVED.replace('token_file = "token"\n', ""),
            "callbacks.apps[0].token_file: is missing; name a file with 32 hex digits",
        ),
        ('[callbacks]\nspool = "s"\n' + RECEIVED + RECEIVED, "callbacks.apps[1].alias: is that of callbacks.apps[0]"),
    ],
)
def test_a_problem_with_callbacks_names_its_key_and_the_remedy(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, APP + text)
    assert problem in str(raised.value)

"""Stored contents on the page: pictures in their place, the rest to be saved; each by a look that has shown it."""

from __future__ import annotations

import re

import pytest

from archiver.page.files import disposition
from archiver.page.headers import HEADERS, POLICY
from tests.fixtures.blobs import Collector, MakeCollector, Shelf
from tests.fixtures.databases import Database
from tests.looks.faults import refuse_rows
from tests.page.browsing import serving

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def collected(database: Database, make_collector: MakeCollector, folder: Shelf) -> Collector:
    collector = make_collector(database, folder, messages=200)
    assert collector("pull") == 0
    collector("attachments")
    assert collector.states()["stored"] > 5
    return collector


def test_pictures_are_shown_and_files_are_saved_by_a_look_that_has_shown_them(collected: Collector) -> None:
    (picture,) = collected.database.rows(
        "SELECT a.sha256, m.sender FROM attachments a JOIN messages m ON m.msg_id = a.msg_id"
        " WHERE a.state = 'stored' AND a.media_type = 'image/png' LIMIT 1"
    )
    with serving(collected, proxy=True) as served:
        li, wang = served.visitor("officer", "li"), served.visitor("officer", "wang")
        where = li.look("/search", sender=picture[1], type="img")
        page = li.get(where)
        sources = re.findall(r'<img src="([^"]+)"', page.text)
        assert f"{where}/picture/{picture[0]}" in sources
        assert all(source.startswith(f"{where}/picture/") for source in sources), "nothing comes from elsewhere"
        before = collected.count("looks")
        answer = li.get(f"{where}/picture/{picture[0]}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
        assert answer.headers["Content-Security-Policy"] == f"{POLICY}; sandbox"
        for name, value in HEADERS.items():
            assert answer.headers[name].startswith(value)
        assert answer.content.startswith(b"\x89PNG")
        assert collected.count("looks") == before, "it is a part of the look that was noted"
        li.get(f"{where}/picture/{picture[0]}")
        assert collected.count("looks") == before + 1, "and once more it is another one"
        saved = li.get(f"{where}/file/{picture[0]}")
        assert saved.headers["Content-Type"] == "application/octet-stream"
        assert saved.headers["Content-Disposition"].startswith("attachment; filename=")
        assert saved.headers["Content-Security-Policy"].endswith("; sandbox")
        assert saved.content == answer.content
        rows = collected.database.rows("SELECT action FROM looks ORDER BY id")
        assert [row[0] for row in rows] == ["search", "file", "file"]
        for address in (f"{where}/picture/{picture[0]}", f"{where}/file/{picture[0]}"):
            assert wang.get(address).status_code == 404, "of another session"
        for sha256 in ("0" * 64, "../../etc/passwd", picture[0].upper(), picture[0][:63]):
            assert li.get(f"{where}/file/{sha256}").status_code == 404
        assert len(rows) == collected.count("looks")


def test_what_is_no_picture_is_never_shown_in_its_place(collected: Collector) -> None:
    (other,) = collected.database.rows(
        "SELECT a.sha256, m.sender FROM attachments a JOIN messages m ON m.msg_id = a.msg_id"
        " WHERE a.state = 'stored' AND a.media_type NOT LIKE 'image/%' LIMIT 1"
    )
    with serving(collected) as served:
        li = served.visitor()
        where = li.look("/search", sender=other[1])
        assert f"/picture/{other[0]}" not in li.get(where).text
        assert li.get(f"{where}/picture/{other[0]}").status_code == 404
        collected.shelf.damage(other[0], b"<html><script>document.title='owned'</script>")
        answer = li.get(f"{where}/file/{other[0]}")
        assert answer.headers["Content-Type"] == "application/octet-stream", "whatever it says it is"
        collected.shelf.damage(other[0], None)
        assert li.get(f"{where}/file/{other[0]}").status_code == 400
        assert "secret" not in li.get(where).text.lower().replace("no secret", "")


def test_no_byte_of_a_file_leaves_without_its_row(collected: Collector) -> None:
    (picture,) = collected.database.rows(
        "SELECT a.sha256, m.sender FROM attachments a JOIN messages m ON m.msg_id = a.msg_id"
        " WHERE a.state = 'stored' AND a.media_type = 'image/png' LIMIT 1"
    )
    with serving(collected) as served:
        li = served.visitor()
        where = li.look("/search", sender=picture[1], type="img")
        assert li.get(where).status_code == 200
        assert li.get(f"{where}/picture/{picture[0]}").status_code == 200, "a part of the look that was noted"
        before = collected.count("looks")
        refuse_rows(collected.database)
        for address in (f"{where}/picture/{picture[0]}", f"{where}/file/{picture[0]}"):
            answer = li.get(address)
            assert answer.status_code == 503
            assert b"PNG" not in answer.content
        assert collected.count("looks") == before


NAMES = {
    "report.pdf": "report.pdf",
    "../../etc/passwd": "_.._etc_passwd",
    "C:\\temp\\x.exe": "C__temp_x.exe",
    'a"; filename="b.html': "a__ filename=_b.html",
    "a\r\nSet-Cookie: x=1": "a_r_nSet-Cookie_ x=1",
    "\u202etxt.exe": "_u202etxt.exe",
    "发票.pdf": "__.pdf",
    "": "0" * 64,
    "...": "0" * 64,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_no_paths_and_steer_no_header(database: Database, name: str) -> None:
    header = disposition(name, "0" * 64)
    assert header.isascii()
    assert header.isprintable()
    match = re.fullmatch(r"attachment; filename=\"([^\"]*)\"; filename\*=UTF-8''([A-Za-z0-9._~%-]*)", header)
    assert match
    assert not re.search(r"[/\\;\r\n]", match[1])
    plain = re.sub(r"[^A-Za-z0-9]", "", NAMES[name])
    assert re.sub(r"[^A-Za-z0-9]", "", match[1]) == plain

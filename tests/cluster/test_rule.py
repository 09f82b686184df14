"""The rule itself: red on what Citus 13.2 refused of this program, and on the like; green on what it ran."""

from __future__ import annotations

import pytest

from archiver.store.schema import SHARDED, placed
from tests.cluster import rule
from tests.cluster.rule import Layout, refusals

VIEWS = {
    "readable": (
        "SELECT a.name AS app, m.msg_id, m.conversation, b.text FROM ((messages m JOIN apps a ON ((a.id = m.app_id)))"
        " LEFT JOIN message_bodies b ON (((b.app_id = m.app_id) AND (b.msg_id = m.msg_id))))"
    ),
    "talks": (
        "SELECT a.name AS app, m.conversation, count(*) AS messages FROM messages m JOIN apps a ON a.id = m.app_id"
        " GROUP BY a.name, m.conversation"
    ),
}
LAYOUT = Layout(VIEWS)

PLACES = "t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position"
LATEST = "(SELECT * FROM search_texts ORDER BY timestamp_ms DESC FETCH FIRST (%(texts)s::BIGINT) ROWS WITH TIES) AS t"
EARLIER = (
    "EXISTS (SELECT b.part FROM search_texts AS b WHERE b.app_id = t.app_id AND b.msg_id = t.msg_id"
    " AND b.revision = t.revision AND b.position = t.position AND b.part < t.part AND strpos(b.text, %(query)s) > 0)"
)
HERE = "(SELECT m.app_id, m.msg_id FROM messages m ORDER BY m.timestamp_ms LIMIT 10)"
AT_PLACE = "m.app_id = f.app_id AND m.msg_id = f.msg_id"
ON_KEY = "b.app_id = m.app_id AND b.msg_id = m.msg_id"

REFUSED = {
    # Of this program, as they were when they were refused.
    "an earlier part of the same text": (
        (
            f"SELECT {PLACES} FROM {LATEST} WHERE strpos(t.text, %(query)s) > 0 AND (t.part = 0 OR NOT ({EARLIER}))"
            " ORDER BY t.timestamp_ms DESC LIMIT %(most)s"
        ),
        rule.FROM_ELSEWHERE,
    ),
    "places joined in archive_search": (
        (
            "WITH found AS (SELECT app_id, msg_id, revision, position, timestamp_ms FROM search_texts t"
            " WHERE strpos(t.text, $1) > 0"
            " UNION SELECT m.app_id, m.msg_id, 0, b.position, m.timestamp_ms FROM messages m"
            f" JOIN message_bodies b ON {ON_KEY} WHERE m.page_id = ANY ($3)),"
            " chosen AS (SELECT * FROM found ORDER BY timestamp_ms DESC LIMIT $4)"
            f" SELECT a.name, m.msg_id, b.text FROM chosen f JOIN messages m ON {AT_PLACE}"
            " JOIN apps a ON a.id = f.app_id LEFT JOIN message_bodies b ON f.revision = 0 AND b.app_id = f.app_id"
            " AND b.msg_id = f.msg_id AND b.position = f.position"
        ),
        rule.COLLECTED,
    ),
    "what participants received": (
        (
            "SELECT m.conversation, lower(m.sender), (SELECT count(*) FROM messages r WHERE r.app_id = m.app_id"
            " AND r.conversation = m.conversation AND lower(r.recipient) = lower(m.sender))"
            " FROM messages m GROUP BY m.app_id, m.conversation, lower(m.sender)"
        ),
        rule.ONE_BY_ONE,
    ),
    "participants who sent nothing": (
        (
            "SELECT m.conversation, m.recipient FROM messages m GROUP BY m.app_id, m.conversation, m.recipient"
            " HAVING NOT EXISTS (SELECT 1 FROM messages s WHERE s.app_id = m.app_id AND s.conversation = m.conversation"
            " AND s.sender = m.recipient)"
        ),
        rule.IN_HAVING,
    ),
    "persons in conversations that were looked at": (
        (
            "SELECT c.conversation, m.sender FROM look_conversations c LEFT JOIN messages m ON m.app_id = c.app_id"
            " AND m.conversation = c.conversation"
        ),
        rule.OUTER,
    ),
    "events without a message": (
        (
            "SELECT e.msg_id FROM events e WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.app_id = e.app_id"
            " AND m.msg_id = e.msg_id)"
        ),
        rule.FROM_ELSEWHERE,
    ),
    "marks of messages": (
        (
            "SELECT m.msg_id, (SELECT e.actor FROM events e WHERE e.app_id = m.app_id AND e.target_msg_id = m.msg_id"
            " ORDER BY e.id LIMIT 1) FROM messages m"
        ),
        rule.CENTRAL_ONE_BY_ONE,
    ),
    "conversations with a message in a range": (
        (
            "SELECT talks.conversation FROM talks WHERE EXISTS (SELECT messages.msg_id FROM messages JOIN apps"
            " ON apps.id = messages.app_id WHERE messages.conversation = talks.conversation AND apps.name = talks.app)"
        ),
        rule.FROM_ELSEWHERE,
    ),
    "whom two people wrote to": (
        "SELECT DISTINCT i.msg_id FROM readable i JOIN readable x ON x.app = i.app AND x.conversation = i.conversation",
        rule.NOT_TIED,
    ),
    # The like.
    "no condition": ("SELECT 1 FROM messages m, message_bodies b", rule.NOT_TIED),
    "only the app": ("SELECT 1 FROM messages m JOIN message_bodies b ON b.app_id = m.app_id", rule.NOT_TIED),
    "only the id": ("SELECT 1 FROM messages m JOIN message_bodies b ON b.msg_id = m.msg_id", rule.NOT_TIED),
    "the key under OR": (f"SELECT 1 FROM messages m JOIN message_bodies b ON {ON_KEY} OR b.text = ''", rule.NOT_TIED),
    "an outer join on less than the key": (
        "SELECT 1 FROM messages m LEFT JOIN message_bodies b ON b.msg_id = m.msg_id",
        rule.OUTER,
    ),
    "an outer join by way of other rows": (
        (
            "SELECT 1 FROM unnest($1, $2) AS f (app_id, msg_id) JOIN messages m USING (app_id, msg_id)"
            " LEFT JOIN message_bodies b ON b.app_id = f.app_id AND b.msg_id = f.msg_id OR b.text = ''"
        ),
        rule.OUTER,
    ),
    "a right join": (f"SELECT 1 FROM messages m RIGHT JOIN message_bodies b ON {ON_KEY}", rule.OUTER),
    "values beside a big table": (
        "SELECT 1 FROM (VALUES (1)) v (a) LEFT JOIN messages m ON m.app_id = v.a",
        rule.OUTER,
    ),
    "limited rows joined": (f"SELECT 1 FROM messages m JOIN {HERE} b ON {ON_KEY}", rule.COLLECTED),
    "archive_search joined": (
        "SELECT 1 FROM archive_search('x') s JOIN readable r ON r.msg_id = s.msg_id",
        rule.COLLECTED,
    ),
    "a count looked up": (
        f"SELECT (SELECT count(*) FROM message_bodies b WHERE {ON_KEY}) FROM messages m",
        rule.COUNTED,
    ),
    "the first of the key": (
        f"SELECT 1 FROM messages m WHERE (SELECT b.type FROM message_bodies b WHERE {ON_KEY} LIMIT 1) = 'txt'",
        rule.COUNTED,
    ),
    "a lateral query": (
        f"SELECT 1 FROM messages m CROSS JOIN LATERAL (SELECT b.type FROM message_bodies b WHERE {ON_KEY} LIMIT 1) x",
        rule.LATERAL,
    ),
    "locks": ("SELECT msg_id FROM attachments WHERE state = 'pending' FOR UPDATE SKIP LOCKED", rule.LOCKS),
    "several groupings": ("SELECT count(*) FROM messages GROUP BY GROUPING SETS ((sender), (recipient))", rule.SETS),
    "recursion": (
        "WITH RECURSIVE r AS (SELECT msg_id FROM messages UNION ALL SELECT msg_id FROM r) SELECT 1 FROM r",
        rule.RECURSIVE,
    ),
    "a change by other columns": (
        "UPDATE attachments a SET state = 'gone' FROM messages m WHERE m.app_id = a.app_id AND m.page_id = a.position",
        rule.NOT_TIED,
    ),
    "in what is copied": (
        "INSERT INTO search_queue (page_id) SELECT m.page_id FROM messages m JOIN late_arrivals l USING (page_id)",
        rule.NOT_TIED,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_cluster_refuses_is_refused(name: str) -> None:
    sql, problem = REFUSED[name]
    assert LAYOUT.concerns(sql)
    assert problem in refusals(sql, LAYOUT)


RUN = (
    f"SELECT m.msg_id, b.text FROM messages m JOIN message_bodies b ON {ON_KEY} JOIN apps a ON a.id = m.app_id",
    (
        "SELECT 1 FROM message_revisions r JOIN messages m USING (app_id, msg_id) JOIN revision_bodies b"
        " ON b.app_id = r.app_id AND b.msg_id = r.msg_id AND b.revision = r.revision"
    ),
    f"SELECT 1 FROM messages m LEFT JOIN message_bodies b ON {ON_KEY} AND b.position = 0",
    "SELECT f.text, r.text FROM readable r JOIN readable f ON f.app = r.app AND f.msg_id = r.msg_id",
    (
        "SELECT m.msg_id FROM messages m JOIN apps a ON a.id = m.app_id"
        " JOIN readable r ON r.app = a.name AND r.msg_id = m.msg_id"
    ),
    f"SELECT 1 FROM messages m WHERE m.sender = 'x' OR EXISTS (SELECT 1 FROM message_bodies b WHERE {ON_KEY})",
    f"SELECT {PLACES} FROM search_texts t WHERE strpos(t.text, $1) > 0 AND ({EARLIER})",
    "SELECT msg_id FROM readable WHERE (app, text) IN (SELECT app, text FROM readable WHERE conversation = 'x')",
    "SELECT conversation FROM talks WHERE (app, conversation) IN (SELECT app, conversation FROM talks)",
    (
        f"WITH latest AS (SELECT * FROM {LATEST}) SELECT app_id FROM latest WHERE part = 0"
        " OR (app_id, msg_id) IN (SELECT app_id, msg_id FROM latest)"
    ),
    "SELECT m.sender FROM look_conversations c JOIN messages m USING (app_id, conversation)",
    (
        "SELECT e.msg_id FROM events e WHERE (e.app_id, e.msg_id) NOT IN (SELECT m.app_id, m.msg_id FROM messages m"
        " JOIN events n ON n.app_id = m.app_id AND n.msg_id = m.msg_id)"
    ),
    (
        f"SELECT 1 FROM unnest($1, $2) AS f (app_id, msg_id) JOIN messages m ON {AT_PLACE}"
        " LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id"
    ),
    (
        "SELECT p.who, count(*) FROM (SELECT app_id, msg_id, sender AS who FROM messages UNION ALL"
        " SELECT app_id, msg_id, recipient FROM messages) p JOIN apps a ON a.id = p.app_id GROUP BY p.who"
    ),
    (
        "SELECT msg_id FROM messages WHERE app_id = %(a)s AND msg_id = ANY (ARRAY((SELECT json_array_elements_text("
        "CAST(%(ids)s::VARCHAR AS JSON)) AS x)))"
    ),
    "UPDATE attachments SET state = 'gone' WHERE app_id = 1 AND msg_id = 'x' RETURNING fence",
    f"DELETE FROM message_bodies b USING messages m WHERE {ON_KEY}",
    "SELECT count(*) OVER (PARTITION BY sender) FROM messages LIMIT 5",
    "SELECT id FROM windows WHERE state = 'pending' FOR UPDATE SKIP LOCKED",
    "ALTER TABLE messages OWNER TO archive_owner",
)


@pytest.mark.parametrize("number", range(len(RUN)))
def test_what_a_cluster_runs_passes(number: int) -> None:
    assert refusals(RUN[number], LAYOUT) == []


def test_tests_that_cannot_hold_on_a_cluster_say_why(request: pytest.FixtureRequest) -> None:
    marks = [mark for item in request.session.items if (mark := item.get_closest_marker("one_server"))]
    assert [mark.args for mark in marks if len(mark.args) != 1 or len(mark.args[0]) < 20] == []


def test_it_looks_at_what_names_a_big_table_or_a_view_and_at_nothing_else() -> None:
    assert LAYOUT.sharded == {table.name for table in placed(SHARDED)}
    assert LAYOUT.concerns("SELECT 1 FROM readable")
    assert LAYOUT.concerns("SELECT * FROM archive_search('x')")
    assert not LAYOUT.concerns("SELECT 1 FROM windows JOIN pages ON pages.window_id = windows.id")

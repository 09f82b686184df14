-- What people read. Statements end with a semicolon and an empty line; what stands in braces differs between the
-- databases, see 0001_first_schema.py. No view shows raw bytes or what opens a file: `extra` neither, where a record
-- has such a secret in a wrong type or place.

CREATE VIEW messages_readable AS
SELECT a.name AS app, m.msg_id, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type, m.direction,
       b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url, b.file_length, b.duration,
       b.width, b.height, b.lat, b.lng, b.addr, {extra} AS extra, m.ext, m.lossy, m.archived_at
FROM messages m
JOIN apps a ON a.id = m.app_id
LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id;

CREATE VIEW revisions_readable AS
SELECT a.name AS app, r.msg_id, r.revision, {stamped_at} AS sent_at, r.seen_at, m.sender, m.recipient,
       m.conversation, m.chat_type, b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url,
       b.file_length, b.duration, b.width, b.height, b.lat, b.lng, b.addr, {extra} AS extra
FROM message_revisions r
JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
JOIN apps a ON a.id = r.app_id
LEFT JOIN revision_bodies b ON b.app_id = r.app_id AND b.msg_id = r.msg_id AND b.revision = r.revision;

CREATE VIEW attachments_readable AS
SELECT a.name AS app, f.msg_id, f.position AS body_position, f.kind, m.sent_at, m.sender, m.recipient,
       m.conversation, m.chat_type, b.type AS body_type, b.filename, f.url, f.state, f.reason, f.sha256, f.size,
       f.media_type, f.declared_length, f.attempts, f.fetched_at, f.expires_at
FROM attachments f
JOIN messages m ON m.app_id = f.app_id AND m.msg_id = f.msg_id
JOIN apps a ON a.id = f.app_id
LEFT JOIN message_bodies b ON b.app_id = f.app_id AND b.msg_id = f.msg_id AND b.position = f.position;

CREATE VIEW conversations AS
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, count(*) AS messages,
       count(DISTINCT m.sender) AS senders, min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.conversation IS NOT NULL
GROUP BY a.name, m.conversation;

-- Who took part: who sent something, and in conversations of two also who was only written to. Two groupings side by
-- side, as SQLite passes a condition on the person on to the index through these, but not through a sum over both.
CREATE VIEW participants AS
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, m.sender AS participant, count(*) AS sent,
       CASE WHEN min(m.chat_type) IN ('groupchat', 'chatroom') THEN 0 ELSE (
           SELECT count(*) FROM messages r
           WHERE r.app_id = m.app_id AND r.conversation = m.conversation AND r.recipient = m.sender
       ) END AS received,
       min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.sender IS NOT NULL AND m.conversation IS NOT NULL
GROUP BY a.name, m.app_id, m.conversation, m.sender
UNION ALL
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, m.recipient AS participant, 0 AS sent,
       count(*) AS received, min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.recipient IS NOT NULL AND m.conversation IS NOT NULL
  AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))
GROUP BY a.name, m.app_id, m.conversation, m.recipient
HAVING NOT EXISTS (
    SELECT 1 FROM messages s
    WHERE s.app_id = m.app_id AND s.conversation = m.conversation AND s.sender = m.recipient
);

CREATE VIEW daily_counts AS
SELECT a.name AS app, {day} AS day_utc, m.chat_type, count(*) AS messages, count(DISTINCT m.sender) AS senders
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.sent_at IS NOT NULL
GROUP BY a.name, {day}, m.chat_type;

-- A hole is what no row covers, too: planning never skips, so such a gap would be somebody's DELETE.
CREATE VIEW coverage_holes AS
WITH planned AS (
    SELECT w.app_id, w.source, w.lo_ms, w.hi_ms, w.state, w.reason,
           lag(w.hi_ms) OVER (PARTITION BY w.app_id, w.source ORDER BY w.lo_ms) AS before_ms
    FROM windows w
    WHERE w.pass = 1
), holes AS (
    SELECT app_id, source, lo_ms, hi_ms, state, reason FROM planned WHERE state IN ('expired', 'stuck', 'accepted')
    UNION ALL
    SELECT app_id, source, before_ms, lo_ms, 'uncovered', 'no window covers this range'
    FROM planned WHERE before_ms < lo_ms
)
SELECT a.name AS app, h.source, {lo_at} AS lo_at, {hi_at} AS hi_at, h.state, h.reason, h.lo_ms, h.hi_ms
FROM holes h
JOIN apps a ON a.id = h.app_id;

-- As older versions made them, without messages that are withheld.
CREATE {or_replace} VIEW revisions_readable AS
SELECT a.name AS app, r.msg_id, r.revision, {stamped_at} AS sent_at, r.seen_at, m.sender, m.recipient,
       m.conversation, m.chat_type, b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url,
       b.file_length, b.duration, b.width, b.height, b.lat, b.lng, b.addr, {extra} AS extra
FROM message_revisions r
JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id AND m.withheld IS NULL
JOIN apps a ON a.id = r.app_id
LEFT JOIN revision_bodies b ON b.app_id = r.app_id AND b.msg_id = r.msg_id AND b.revision = r.revision

CREATE {or_replace} VIEW attachments_readable AS
SELECT a.name AS app, f.msg_id, f.position AS body_position, f.kind, m.sent_at, m.sender, m.recipient,
       m.conversation, m.chat_type, b.type AS body_type, b.filename, f.url, f.state, f.reason, f.sha256, f.size,
       f.media_type, f.declared_length, f.attempts, f.fetched_at, f.expires_at
FROM attachments f
JOIN messages m ON m.app_id = f.app_id AND m.msg_id = f.msg_id AND m.withheld IS NULL
JOIN apps a ON a.id = f.app_id
LEFT JOIN message_bodies b ON b.app_id = f.app_id AND b.msg_id = f.msg_id AND b.position = f.position

CREATE {or_replace} VIEW conversations AS
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, count(*) AS messages,
       count(DISTINCT m.sender) AS senders, min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.conversation IS NOT NULL AND m.withheld IS NULL
GROUP BY a.name, m.conversation

CREATE {or_replace} VIEW daily_counts AS
SELECT a.name AS app, {day} AS day_utc, m.chat_type, count(*) AS messages, count(DISTINCT m.sender) AS senders
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.sent_at IS NOT NULL AND m.withheld IS NULL
GROUP BY a.name, {day}, m.chat_type

-- Who took part: who sent something, and in conversations of two also who was only written to. Two groupings side by
-- side, as SQLite passes a condition on the person on to the index through these, but not through a sum over both.
-- Users are the same in any case, and are named in lower case here, as in the names of conversations.
CREATE VIEW participants AS
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, m.participant, count(*) AS sent,
       CASE WHEN min(m.chat_type) IN ('groupchat', 'chatroom') THEN 0 ELSE (
           SELECT count(*) FROM messages r
           WHERE r.app_id = m.app_id AND r.conversation = m.conversation AND lower(r.recipient) = m.participant
             AND r.withheld IS NULL
       ) END AS received,
       min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM (
    SELECT app_id, conversation, chat_type, sent_at, lower(sender) AS participant FROM messages
    WHERE sender IS NOT NULL AND conversation IS NOT NULL AND withheld IS NULL
) m
JOIN apps a ON a.id = m.app_id
GROUP BY a.name, m.app_id, m.conversation, m.participant
UNION ALL
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, m.participant, 0 AS sent,
       count(*) AS received, min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM (
    SELECT app_id, conversation, chat_type, sent_at, lower(recipient) AS participant FROM messages
    WHERE recipient IS NOT NULL AND conversation IS NOT NULL AND withheld IS NULL
      AND (chat_type IS NULL OR chat_type NOT IN ('groupchat', 'chatroom'))
) m
JOIN apps a ON a.id = m.app_id
GROUP BY a.name, m.app_id, m.conversation, m.participant
HAVING NOT EXISTS (
    SELECT 1 FROM messages s
    WHERE s.app_id = m.app_id AND s.conversation = m.conversation AND lower(s.sender) = m.participant
      AND s.withheld IS NULL
)

-- Who looked at whom: a row for each person in each conversation that a look, an export or a copy has shown. Where it
-- was more than is listed, person and conversation are NULL: the look's filter says what it covers.
CREATE VIEW looks_by_person AS
WITH seen AS (
    SELECT look_id, at, who, action, case_id, reason FROM looks WHERE outcome IN ('shown', 'begun')
    UNION ALL
    SELECT export_id, at, who, CASE WHEN format = 'copy' THEN 'copy' ELSE 'export' END, case_id, reason
    FROM audit_log WHERE outcome = 'begun'
)
SELECT DISTINCT a.name AS app, c.conversation, m.sender AS person, l.at, l.who, l.action, l.case_id, l.reason
FROM seen l
JOIN look_conversations c ON c.look_id = l.look_id
JOIN apps a ON a.id = c.app_id
LEFT JOIN messages m ON m.app_id = c.app_id AND m.conversation = c.conversation AND m.withheld IS NULL
UNION
SELECT DISTINCT a.name, c.conversation, m.recipient, l.at, l.who, l.action, l.case_id, l.reason
FROM seen l
JOIN look_conversations c ON c.look_id = l.look_id
JOIN apps a ON a.id = c.app_id
JOIN messages m ON m.app_id = c.app_id AND m.conversation = c.conversation AND m.withheld IS NULL
WHERE m.recipient IS NOT NULL AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))

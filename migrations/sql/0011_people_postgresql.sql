-- Who took part: who sent something, and in conversations of two also who was only written to. Users are the same in
-- any case, and are named in lower case here, as in the names of conversations.
--
-- One grouping over what was sent and what was received: nothing is looked up message by message, and each leaf has the
-- message's id, so that every machine of a cluster groups what it has. PostgreSQL takes a condition on the person or
-- the conversation to the index through it.
CREATE OR REPLACE VIEW participants AS
SELECT a.name AS app, p.conversation,
       CASE WHEN count(*) FILTER (WHERE p.is_sent) > 0 THEN min(p.chat_type) FILTER (WHERE p.is_sent)
            ELSE min(p.chat_type) END AS chat_type,
       p.participant, count(*) FILTER (WHERE p.is_sent) AS sent,
       CASE WHEN min(p.chat_type) FILTER (WHERE p.is_sent) IN ('groupchat', 'chatroom') THEN 0
            ELSE count(*) FILTER (WHERE NOT p.is_sent) END AS received,
       CASE WHEN count(*) FILTER (WHERE p.is_sent) > 0 THEN min(p.sent_at) FILTER (WHERE p.is_sent)
            ELSE min(p.sent_at) END AS first_sent_at,
       CASE WHEN count(*) FILTER (WHERE p.is_sent) > 0 THEN max(p.sent_at) FILTER (WHERE p.is_sent)
            ELSE max(p.sent_at) END AS last_sent_at
FROM (
    SELECT m.app_id, m.msg_id, m.conversation, m.chat_type, lower(m.sender) AS participant, true AS is_sent, m.sent_at
    FROM messages m
    WHERE m.sender IS NOT NULL AND m.conversation IS NOT NULL AND m.withheld IS NULL
    UNION ALL
    SELECT m.app_id, m.msg_id, m.conversation, m.chat_type, lower(m.recipient), false, m.sent_at
    FROM messages m
    WHERE m.recipient IS NOT NULL AND m.conversation IS NOT NULL AND m.withheld IS NULL
      AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))
) p
JOIN apps a ON a.id = p.app_id
GROUP BY a.name, p.app_id, p.conversation, p.participant

-- Who looked at whom: a row for each person in each conversation that a look, an export or a copy has shown. Where it
-- was more than is listed, person and conversation are NULL: the look's filter says what it covers.
--
-- What was shown lies on the coordinator of a cluster, and is joined to what the machines have; never outer-joined, for
-- which all messages would be collected first.
CREATE OR REPLACE VIEW looks_by_person AS
WITH shown AS (
    SELECT c.app_id, c.conversation, l.at, l.who, l.action, l.case_id, l.reason
    FROM (
        SELECT look_id, at, who, action, case_id, reason FROM looks WHERE outcome IN ('shown', 'begun')
        UNION ALL
        SELECT export_id, at, who, CASE WHEN format = 'copy' THEN 'copy' ELSE 'export' END, case_id, reason
        FROM audit_log WHERE outcome = 'begun'
    ) l
    JOIN look_conversations c ON c.look_id = l.look_id
)
SELECT a.name AS app, s.conversation, m.sender AS person, s.at, s.who, s.action, s.case_id, s.reason
FROM shown s
JOIN messages m ON m.app_id = s.app_id AND m.conversation = s.conversation AND m.withheld IS NULL
JOIN apps a ON a.id = m.app_id
UNION
SELECT a.name, s.conversation, m.recipient, s.at, s.who, s.action, s.case_id, s.reason
FROM shown s
JOIN messages m ON m.app_id = s.app_id AND m.conversation = s.conversation AND m.withheld IS NULL
JOIN apps a ON a.id = m.app_id
WHERE m.recipient IS NOT NULL AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))
UNION
SELECT a.name, s.conversation, NULL, s.at, s.who, s.action, s.case_id, s.reason
FROM shown s
JOIN apps a ON a.id = s.app_id
WHERE s.conversation IS NULL

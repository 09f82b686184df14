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
    WHERE m.sender IS NOT NULL AND m.conversation IS NOT NULL
    UNION ALL
    SELECT m.app_id, m.msg_id, m.conversation, m.chat_type, lower(m.recipient), false, m.sent_at
    FROM messages m
    WHERE m.recipient IS NOT NULL AND m.conversation IS NOT NULL
      AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))
) p
JOIN apps a ON a.id = p.app_id
GROUP BY a.name, p.app_id, p.conversation, p.participant

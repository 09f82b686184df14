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
LEFT JOIN messages m ON m.app_id = c.app_id AND m.conversation = c.conversation
UNION
SELECT DISTINCT a.name, c.conversation, m.recipient, l.at, l.who, l.action, l.case_id, l.reason
FROM seen l
JOIN look_conversations c ON c.look_id = l.look_id
JOIN apps a ON a.id = c.app_id
JOIN messages m ON m.app_id = c.app_id AND m.conversation = c.conversation
WHERE m.recipient IS NOT NULL AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))

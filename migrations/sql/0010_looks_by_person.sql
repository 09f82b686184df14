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
JOIN messages m ON m.app_id = s.app_id AND m.conversation = s.conversation
JOIN apps a ON a.id = m.app_id
UNION
SELECT a.name, s.conversation, m.recipient, s.at, s.who, s.action, s.case_id, s.reason
FROM shown s
JOIN messages m ON m.app_id = s.app_id AND m.conversation = s.conversation
JOIN apps a ON a.id = m.app_id
WHERE m.recipient IS NOT NULL AND (m.chat_type IS NULL OR m.chat_type NOT IN ('groupchat', 'chatroom'))
UNION
SELECT a.name, s.conversation, NULL, s.at, s.who, s.action, s.case_id, s.reason
FROM shown s
JOIN apps a ON a.id = s.app_id
WHERE s.conversation IS NULL

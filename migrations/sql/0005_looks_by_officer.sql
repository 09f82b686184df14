-- What an officer looked at, by day (UTC): looks, exports and copies, and how many conversations they have shown.
CREATE VIEW looks_by_officer AS
WITH seen AS (
    SELECT look_id, at, who, action, case_id, reason FROM looks WHERE outcome IN ('shown', 'begun')
    UNION ALL
    SELECT export_id, at, who, CASE WHEN format = 'copy' THEN 'copy' ELSE 'export' END, case_id, reason
    FROM audit_log WHERE outcome = 'begun'
)
SELECT l.who, {day} AS day, l.action, count(DISTINCT l.look_id) AS looks,
       count(DISTINCT a.name || ' ' || c.conversation) AS conversations
FROM seen l
LEFT JOIN look_conversations c ON c.look_id = l.look_id
LEFT JOIN apps a ON a.id = c.app_id
GROUP BY l.who, {day}, l.action

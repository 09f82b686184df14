-- As 0008 made it, without what reports of messages that are withheld.
CREATE {or_replace} VIEW events_readable AS
SELECT a.name AS app, e.id, e.kind, e.signed, {stamped} AS at, e.actor, e.conversation, e.msg_id, e.target_msg_id,
       e.text, e.apart, e.call_id, e.received_at
FROM events e
JOIN apps a ON a.id = e.app_id
WHERE NOT EXISTS (SELECT 1 FROM messages w WHERE w.app_id = e.app_id AND w.msg_id IN (e.msg_id, e.target_msg_id)
                  AND w.withheld IS NOT NULL)

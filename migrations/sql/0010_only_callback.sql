-- What was announced by a signed callback, and was not in the record when its hour was compared, nor is it now. Which
-- announced messages the record has is asked of all machines at once, and not event by event.
CREATE OR REPLACE VIEW only_callback AS
SELECT a.name AS app, e.msg_id, {stamped} AS sent_at, e.actor AS sender, e.conversation, e.text, e.received_at
FROM events e
JOIN apps a ON a.id = e.app_id
WHERE e.kind = 'message' AND e.signed = 'signed' AND e.apart IS NULL
  AND EXISTS (SELECT 1 FROM reconciliations r
              WHERE r.app_id = e.app_id AND r.hour_ms = e.at_ms - e.at_ms % 3600000 AND r.outcome = 'compared')
  AND (e.msg_id IS NULL OR (e.app_id, e.msg_id) NOT IN (
      SELECT m.app_id, m.msg_id FROM messages m
      JOIN events n ON n.app_id = m.app_id AND n.msg_id = m.msg_id AND n.kind = 'message'))
  AND NOT EXISTS (SELECT 1 FROM events c WHERE c.app_id = e.app_id AND c.target_msg_id = e.msg_id
                  AND c.kind = 'recall' AND c.signed = 'signed')
  AND NOT EXISTS (SELECT 1 FROM events d WHERE d.app_id = e.app_id AND d.msg_id = e.msg_id AND d.id < e.id
                  AND d.kind = 'message' AND d.signed = 'signed')

DROP TRIGGER tombstones_conversations

-- Once a transaction: holds in force learn in which conversations their participants wrote, as that may go. Of what came
-- since it was noted last; what leaves quarantine lies on older pages.
CREATE TRIGGER tombstones_conversations BEFORE INSERT ON tombstones
WHEN (SELECT at FROM tombstones ORDER BY id DESC LIMIT 1) IS NOT NEW.at
  OR (SELECT max(id) FROM pages) > (SELECT noted_page FROM lifecycle)
BEGIN
    INSERT INTO hold_conversations (hold_id, app_id, conversation)
    SELECT DISTINCT n.hold_id, n.app_id, n.conversation FROM (
        SELECT h.hold_id, m.app_id, m.conversation FROM holds_in_force h
        JOIN messages m ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id > coalesce((SELECT noted_hold FROM lifecycle), 0) AND (h.app_id IS NULL OR h.app_id = m.app_id)
        UNION ALL
        SELECT h.hold_id, m.app_id, m.conversation FROM messages m
        CROSS JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id <= (SELECT noted_hold FROM lifecycle) AND m.page_id > (SELECT noted_page FROM lifecycle)
          AND (h.app_id IS NULL OR h.app_id = m.app_id)
        UNION ALL
        SELECT h.hold_id, m.app_id, m.conversation FROM quarantine q
        CROSS JOIN messages m ON m.page_id = q.page_id AND m.position = q.position
        CROSS JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id <= (SELECT noted_hold FROM lifecycle) AND q.resolved_at IS NOT NULL AND q.page_id > 0
          AND (h.app_id IS NULL OR h.app_id = m.app_id)
    ) n
    WHERE n.conversation IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = n.hold_id AND c.app_id = n.app_id
                      AND c.conversation = n.conversation);
    UPDATE lifecycle SET noted_page = (SELECT coalesce(max(id), 0) FROM pages),
                         noted_hold = (SELECT coalesce(max(id), 0) FROM hold_events);
END

DROP TRIGGER tombstones_expired

-- What holds keep of a page is asked at its first tombstone and kept with its time: who deletes is alone, and no hold is
-- placed meanwhile. Where a message goes, they are asked of it again.
CREATE TRIGGER tombstones_expired BEFORE INSERT ON tombstones WHEN NEW.kind = 'expired'
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind retention allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind = 'retention')
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about another app')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND json_extract(body, '$.app_id') IS NEW.app_id);
    UPDATE lifecycle SET noted_in = {asked} || ',' || coalesce((
        SELECT group_concat(p.position) FROM (
            SELECT m.position FROM messages m WHERE m.page_id = NEW.page_id AND EXISTS ({held m})
            UNION ALL
            SELECT r.position FROM message_revisions r JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
            WHERE r.page_id = NEW.page_id AND EXISTS ({held m})
        ) p), '') || ','
    WHERE substr(noted_in, 1, length({asked})) IS NOT {asked};
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE NEW.page_id IS NOT NULL
      AND (SELECT CASE WHEN NEW.position IS NULL THEN substr(noted_in, -2) <> ',,'
                       ELSE instr(noted_in, ',' || NEW.position || ',') > 0 END FROM lifecycle);
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE NOT EXISTS (SELECT 1 FROM lifecycle) AND (
          EXISTS (SELECT 1 FROM messages m WHERE m.page_id = NEW.page_id
                  AND (NEW.position IS NULL OR m.position = NEW.position) AND EXISTS ({held m}))
       OR EXISTS (SELECT 1 FROM message_revisions r JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
                  WHERE r.page_id = NEW.page_id AND (NEW.position IS NULL OR r.position = NEW.position)
                  AND EXISTS ({held m})));
END

CREATE TRIGGER expired_before_rules BEFORE INSERT ON expired_before
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind retention allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind = 'retention')
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about another app or another floor')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND json_extract(body, '$.app_id') IS NEW.app_id
                      AND json_extract(body, '$.floor_ms') IS NEW.ms);
END

-- Once a transaction: holds in force learn all conversations in which their participants wrote, as that may go.
CREATE TRIGGER tombstones_conversations BEFORE INSERT ON tombstones
WHEN (SELECT at FROM tombstones ORDER BY id DESC LIMIT 1) IS NOT NEW.at
BEGIN
    INSERT INTO hold_conversations (hold_id, app_id, conversation)
    SELECT DISTINCT h.hold_id, m.app_id, m.conversation FROM holds_in_force h
    JOIN messages m ON lower(m.sender) IN (h.participant, h.participant_lower)
    WHERE h.participant IS NOT NULL AND m.conversation IS NOT NULL AND (h.app_id IS NULL OR h.app_id = m.app_id)
      AND NOT EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = h.hold_id AND c.app_id = m.app_id
                      AND c.conversation = m.conversation);
END

CREATE TRIGGER tombstones_expired BEFORE INSERT ON tombstones WHEN NEW.kind = 'expired'
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind retention allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind = 'retention')
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about another app')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND json_extract(body, '$.app_id') IS NEW.app_id);
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.page_id = NEW.page_id
                  AND (NEW.position IS NULL OR m.position = NEW.position) AND EXISTS ({held m}))
       OR EXISTS (SELECT 1 FROM message_revisions r JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
                  WHERE r.page_id = NEW.page_id AND (NEW.position IS NULL OR r.position = NEW.position)
                  AND EXISTS ({held m}));
END

CREATE TRIGGER tombstones_erased BEFORE INSERT ON tombstones WHEN NEW.kind <> 'expired'
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind erase allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind IN ('erase', 'reapplied'))
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about other messages')
    WHERE NEW.msg_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM request_items i
        WHERE i.request_id = NEW.request_id AND i.app_id = NEW.app_id AND i.msg_id = NEW.msg_id
    );
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.app_id = NEW.app_id AND m.msg_id = NEW.msg_id AND EXISTS ({held m}))
       OR (NEW.msg_id IS NULL AND EXISTS (SELECT 1 FROM holds_in_force h
                                          WHERE h.app_id IS NULL OR h.app_id = NEW.app_id));
END

-- The hash of a page is not salted, so it is taken out in the end; nothing else of its row changes.
CREATE TRIGGER pages_kept BEFORE UPDATE ON pages
WHEN NEW.sha256 <> '' OR (NEW.id, NEW.app_id, NEW.window_id, NEW.source, NEW.fence, NEW.fetched_at, NEW.server_ms,
                          NEW.received, NEW.new, NEW.known, NEW.changed, NEW.quarantined, NEW.outside)
                  IS NOT (OLD.id, OLD.app_id, OLD.window_id, OLD.source, OLD.fence, OLD.fetched_at, OLD.server_ms,
                          OLD.received, OLD.new, OLD.known, OLD.changed, OLD.quarantined, OLD.outside)
BEGIN
    SELECT RAISE(ABORT, 'pages is append-only, but for its hash, which may be emptied');
END

DROP TRIGGER events_kept

-- What announces a message goes when that is there; what reports of a message goes with it, or when its time is over.
CREATE TRIGGER events_kept BEFORE DELETE ON events
WHEN NOT (OLD.kind = 'message' AND EXISTS (SELECT 1 FROM messages WHERE app_id = OLD.app_id AND msg_id = OLD.msg_id))
 AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.kind = 'erased' AND t.app_id = OLD.app_id
                 AND t.msg_id IN (OLD.msg_id, OLD.target_msg_id))
BEGIN
    SELECT RAISE(ABORT, 'events stays, but for what announces a message that is there')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id IN (OLD.msg_id, OLD.target_msg_id)
                  AND (({expired m m}) IS NOT TRUE OR EXISTS ({held m})))
       OR (NOT EXISTS (SELECT 1 FROM messages m
                       WHERE m.app_id = OLD.app_id AND m.msg_id IN (OLD.msg_id, OLD.target_msg_id))
           AND (OLD.at_ms < (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = OLD.app_id)
                AND NOT EXISTS (SELECT 1 FROM holds_in_force h WHERE h.app_id IS NULL OR h.app_id = OLD.app_id))
               IS NOT TRUE);
END

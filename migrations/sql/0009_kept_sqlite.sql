-- What a page brought stays as it is, unless it is taken back while the page itself is not stored yet. None on INSERT:
-- what a pull stores costs nothing more.
CREATE TRIGGER messages_kept_update BEFORE UPDATE ON messages WHEN EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id)
BEGIN
    SELECT RAISE(ABORT, 'messages is append-only: no tombstone allows this')
    WHERE (NEW.app_id, NEW.msg_id, NEW.timestamp_ms, NEW.sent_at, NEW.chat_type, NEW.direction, NEW.page_id,
           NEW.position, NEW.archived_at) IS NOT
          (OLD.app_id, OLD.msg_id, OLD.timestamp_ms, OLD.sent_at, OLD.chat_type, OLD.direction, OLD.page_id,
           OLD.position, OLD.archived_at)
       OR (NEW.withheld IS 2
           AND NOT (length(NEW.raw) = 0 AND length(NEW.digest) = 32 AND NEW.ext IS NULL
                    AND coalesce(NEW.sender, NEW.recipient, NEW.conversation) IS NULL
                    AND EXISTS (SELECT 1 FROM tombstones t
                                WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id)))
       OR (NEW.withheld IS NOT 2
           AND NOT (OLD.withheld IS NULL AND NEW.withheld IS 1
                    AND (NEW.sender, NEW.recipient, NEW.conversation, NEW.ext, NEW.raw, NEW.digest, NEW.lossy) IS
                        (OLD.sender, OLD.recipient, OLD.conversation, OLD.ext, OLD.raw, OLD.digest, OLD.lossy)));
    SELECT RAISE(ABORT, 'a legal hold keeps this message') WHERE NEW.withheld IS 2 AND EXISTS ({held OLD});
    SELECT RAISE(ABORT, 'no approved request of kind erase allows this')
    WHERE NEW.withheld IS 1 AND NOT EXISTS (
        SELECT 1 FROM requests r
        JOIN request_items i ON i.request_id = r.id AND i.app_id = OLD.app_id AND i.msg_id = OLD.msg_id
        WHERE r.kind = 'erase'
          AND EXISTS (SELECT 1 FROM approvals a WHERE a.request_id = r.id AND a.decision = 'approved')
          AND NOT EXISTS (SELECT 1 FROM approvals a
                          WHERE a.request_id = r.id AND a.decision IN ('refused', 'withdrawn'))
    );
END

CREATE TRIGGER messages_kept_delete BEFORE DELETE ON messages WHEN EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id)
BEGIN
    SELECT RAISE(ABORT, 'messages is append-only: no tombstone allows this') WHERE ({expired OLD OLD}) IS NOT TRUE;
    SELECT RAISE(ABORT, 'a legal hold keeps this message') WHERE EXISTS ({held OLD});
END

CREATE TRIGGER message_bodies_kept_update BEFORE UPDATE ON message_bodies
WHEN EXISTS (SELECT 1 FROM messages m JOIN pages p ON p.id = m.page_id
             WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id)
BEGIN
    SELECT RAISE(ABORT, 'message_bodies is append-only: no tombstone allows this');
END

CREATE TRIGGER message_bodies_kept_delete BEFORE DELETE ON message_bodies
WHEN EXISTS (SELECT 1 FROM messages m JOIN pages p ON p.id = m.page_id
             WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id)
BEGIN
    SELECT RAISE(ABORT, 'message_bodies is append-only: no tombstone allows this')
    WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id
                      AND {expired m m})
      AND NOT EXISTS (SELECT 1 FROM tombstones t
                      WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id);
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id AND EXISTS ({held m}));
END

CREATE TRIGGER message_revisions_kept_update BEFORE UPDATE ON message_revisions
WHEN EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id)
BEGIN
    SELECT RAISE(ABORT, 'message_revisions is append-only: no tombstone allows this');
END

CREATE TRIGGER message_revisions_kept_delete BEFORE DELETE ON message_revisions
WHEN EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id)
BEGIN
    SELECT RAISE(ABORT, 'message_revisions is append-only: no tombstone allows this')
    WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id
                      AND {expired m OLD})
      AND NOT EXISTS (SELECT 1 FROM tombstones t
                      WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id);
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id AND EXISTS ({held m}));
END

CREATE TRIGGER revision_bodies_kept_update BEFORE UPDATE ON revision_bodies
WHEN EXISTS (SELECT 1 FROM message_revisions r JOIN pages p ON p.id = r.page_id
             WHERE r.app_id = OLD.app_id AND r.msg_id = OLD.msg_id AND r.revision = OLD.revision)
BEGIN
    SELECT RAISE(ABORT, 'revision_bodies is append-only: no tombstone allows this');
END

CREATE TRIGGER revision_bodies_kept_delete BEFORE DELETE ON revision_bodies
WHEN EXISTS (SELECT 1 FROM message_revisions r JOIN pages p ON p.id = r.page_id
             WHERE r.app_id = OLD.app_id AND r.msg_id = OLD.msg_id AND r.revision = OLD.revision)
BEGIN
    SELECT RAISE(ABORT, 'revision_bodies is append-only: no tombstone allows this')
    WHERE NOT EXISTS (SELECT 1 FROM message_revisions r JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
                      WHERE r.app_id = OLD.app_id AND r.msg_id = OLD.msg_id AND r.revision = OLD.revision
                      AND {expired m r})
      AND NOT EXISTS (SELECT 1 FROM tombstones t
                      WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id);
    SELECT RAISE(ABORT, 'a legal hold keeps this message')
    WHERE EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id = OLD.msg_id AND EXISTS ({held m}));
END

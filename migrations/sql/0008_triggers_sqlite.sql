CREATE TRIGGER events_kept BEFORE DELETE ON events
WHEN OLD.kind <> 'message' OR NOT EXISTS (SELECT 1 FROM messages WHERE app_id = OLD.app_id AND msg_id = OLD.msg_id)
BEGIN
    SELECT RAISE(ABORT, 'events stays, but for what announces a message that is there');
END

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events is append-only');
END

CREATE TRIGGER events_to_ledger AFTER INSERT ON events
WHEN NEW.kind <> 'message' AND EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('events', '[' || NEW.id || ']');
END

CREATE FUNCTION archive_event_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.kind = 'message' AND EXISTS (SELECT 1 FROM messages WHERE app_id = OLD.app_id AND msg_id = OLD.msg_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events stays, but for what announces a message that is there';
END
$$

CREATE TRIGGER events_kept BEFORE DELETE ON events
FOR EACH ROW EXECUTE FUNCTION archive_event_kept()

CREATE TRIGGER events_append_only BEFORE UPDATE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER events_to_ledger AFTER INSERT ON events
FOR EACH ROW WHEN (NEW.kind <> 'message') EXECUTE FUNCTION archive_to_ledger()

-- With the owner's rights: who exports may add to audit_log, and not to the queue. It reads nothing that was given.
CREATE FUNCTION archive_to_ledger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_head) THEN
        INSERT INTO ledger_queue (table_name, key) VALUES (TG_TABLE_NAME, '[' || NEW.id || ']');
    END IF;
    RETURN NULL;
END
$$

REVOKE ALL ON FUNCTION archive_to_ledger() FROM PUBLIC

CREATE TRIGGER audit_log_to_ledger AFTER INSERT ON audit_log
FOR EACH ROW EXECUTE FUNCTION archive_to_ledger()

CREATE TRIGGER evidence_log_to_ledger AFTER INSERT ON evidence_log
FOR EACH ROW EXECUTE FUNCTION archive_to_ledger()

CREATE TRIGGER anchorings_to_ledger AFTER INSERT ON anchorings
FOR EACH ROW WHEN (NEW.proof IS NOT NULL) EXECUTE FUNCTION archive_to_ledger()

-- A damaged file that was kept is part of no page, so no page's seal has it.
CREATE TRIGGER quarantine_to_ledger AFTER INSERT ON quarantine
FOR EACH ROW WHEN (NEW.page_id = 0) EXECUTE FUNCTION archive_to_ledger()

CREATE TRIGGER audit_log_to_ledger AFTER INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('audit_log', '[' || NEW.id || ']');
END

CREATE TRIGGER evidence_log_to_ledger AFTER INSERT ON evidence_log WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('evidence_log', '[' || NEW.id || ']');
END

CREATE TRIGGER anchorings_to_ledger AFTER INSERT ON anchorings
WHEN NEW.proof IS NOT NULL AND EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('anchorings', '[' || NEW.id || ']');
END

-- A damaged file that was kept is part of no page, so no page's seal has it.
CREATE TRIGGER quarantine_to_ledger AFTER INSERT ON quarantine
WHEN NEW.page_id = 0 AND EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('quarantine', '[' || NEW.id || ']');
END

CREATE TRIGGER requests_no_update BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'requests is append-only');
END

CREATE TRIGGER requests_no_delete BEFORE DELETE ON requests
BEGIN
    SELECT RAISE(ABORT, 'requests is append-only');
END

CREATE TRIGGER requests_to_ledger AFTER INSERT ON requests WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('requests', '[' || NEW.id || ']');
END

CREATE TRIGGER approvals_no_update BEFORE UPDATE ON approvals
BEGIN
    SELECT RAISE(ABORT, 'approvals is append-only');
END

CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals
BEGIN
    SELECT RAISE(ABORT, 'approvals is append-only');
END

CREATE TRIGGER approvals_to_ledger AFTER INSERT ON approvals WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('approvals', '[' || NEW.id || ']');
END

CREATE TRIGGER approvals_rules BEFORE INSERT ON approvals
BEGIN
    SELECT RAISE(ABORT, 'the request is not what was decided on')
    WHERE NEW.body_sha256 IS NOT (SELECT body_sha256 FROM requests WHERE id = NEW.request_id);
    SELECT RAISE(ABORT, 'nobody approves an own request')
    WHERE NEW.decision = 'approved' AND lower(NEW.who) = (SELECT lower(who) FROM requests WHERE id = NEW.request_id);
    SELECT RAISE(ABORT, 'the request is not approved')
    WHERE NEW.decision = 'begun'
      AND (NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
           OR EXISTS (SELECT 1 FROM approvals
                      WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn')));
END

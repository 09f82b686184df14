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

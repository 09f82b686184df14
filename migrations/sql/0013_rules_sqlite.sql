CREATE TRIGGER request_items_rules BEFORE INSERT ON request_items
BEGIN
    SELECT RAISE(ABORT, 'the request was decided on already')
    WHERE EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id);
END

CREATE TRIGGER looks_no_update BEFORE UPDATE ON looks
BEGIN
    SELECT RAISE(ABORT, 'looks is append-only');
END

CREATE TRIGGER looks_no_delete BEFORE DELETE ON looks
BEGIN
    SELECT RAISE(ABORT, 'looks is append-only');
END

CREATE TRIGGER looks_to_ledger AFTER INSERT ON looks WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('looks', '[' || NEW.id || ']');
END

CREATE TRIGGER look_conversations_no_update BEFORE UPDATE ON look_conversations
BEGIN
    SELECT RAISE(ABORT, 'look_conversations is append-only');
END

CREATE TRIGGER look_conversations_no_delete BEFORE DELETE ON look_conversations
BEGIN
    SELECT RAISE(ABORT, 'look_conversations is append-only');
END

CREATE TRIGGER look_conversations_to_ledger AFTER INSERT ON look_conversations WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('look_conversations', '[' || NEW.id || ']');
END

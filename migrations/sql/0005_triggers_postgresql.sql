CREATE FUNCTION archive_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$

-- The database's own word on who asks: no program can leave it out, or give another.
CREATE FUNCTION archive_login() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.login := session_user;
    RETURN NEW;
END
$$

CREATE TRIGGER looks_login BEFORE INSERT ON looks
FOR EACH ROW EXECUTE FUNCTION archive_login()

CREATE TRIGGER looks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON looks
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER looks_to_ledger AFTER INSERT ON looks
FOR EACH ROW EXECUTE FUNCTION archive_to_ledger()

CREATE TRIGGER look_conversations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON look_conversations
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER look_conversations_to_ledger AFTER INSERT ON look_conversations
FOR EACH ROW EXECUTE FUNCTION archive_to_ledger()

CREATE FUNCTION archive_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$

-- The database's own word on who asks: no program can leave it out, or give another. A copy keeps what it is of, and
-- only who owns the table can make one.
CREATE FUNCTION archive_login() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('archiver.copying', true), '') <> 'on'
       OR NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        NEW.login := session_user;
    END IF;
    RETURN NEW;
END
$$

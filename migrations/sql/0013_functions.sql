-- A copy brings the rows of others, and only who owns the table can make one.
CREATE FUNCTION archive_item_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF coalesce(current_setting('archiver.copying', true), '') = 'on'
       AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id) THEN
        RAISE EXCEPTION 'the request was decided on already';
    END IF;
    IF (SELECT login FROM requests WHERE id = NEW.request_id) IS DISTINCT FROM session_user THEN
        RAISE EXCEPTION 'the request is somebody else''s';
    END IF;
    RETURN NEW;
END
$$

-- Who asks and who approves is the login, whatever a program says. A copy keeps what it is of, and only who owns the
-- table can make one.
CREATE FUNCTION archive_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('archiver.copying', true), '') <> 'on'
       OR NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        NEW.login := session_user;
        NEW.who := session_user;
    END IF;
    RETURN NEW;
END
$$

CREATE FUNCTION archive_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked requests%ROWTYPE;
BEGIN
    SELECT * INTO asked FROM requests WHERE id = NEW.request_id;
    IF NEW.body_sha256 IS DISTINCT FROM asked.body_sha256 THEN
        RAISE EXCEPTION 'the request is not what was decided on';
    END IF;
    IF NEW.decision = 'approved' AND lower(NEW.who) = lower(asked.who) THEN
        RAISE EXCEPTION 'nobody approves an own request';
    END IF;
    IF NEW.decision = 'begun' AND (
        NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
        OR EXISTS (SELECT 1 FROM approvals
                   WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'))
    ) THEN
        RAISE EXCEPTION 'the request is not approved';
    END IF;
    RETURN NEW;
END
$$

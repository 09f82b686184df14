-- As before; but the login of the review page says which person has signed in there. Membership is looked up, as
-- pg_has_role says yes to every superuser.
CREATE OR REPLACE FUNCTION archive_person() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(current_setting('archiver.copying', true), '') <> 'on'
       OR NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        NEW.login := session_user;
        IF NOT EXISTS (
            SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
            WHERE r.rolname = 'archive_page' AND u.rolname = session_user
        ) THEN
            NEW.who := session_user;
        END IF;
    END IF;
    RETURN NEW;
END
$$

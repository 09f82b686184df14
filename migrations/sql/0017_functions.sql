-- Requests are made and decided on in one place, which lifecycle names, so that one person with a login here and a name
-- there is not two. What a command writes when it begins to carry a request out decides nothing. Membership is looked
-- up, as pg_has_role says yes to every superuser. A copy brings the rows of others.
CREATE FUNCTION archive_place() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE place text; decision text; is_page boolean;
BEGIN
    IF coalesce(current_setting('archiver.copying', true), '') = 'on'
       AND pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    SELECT decided_in INTO place FROM lifecycle;
    IF place IS NULL THEN
        RETURN NEW;
    END IF;
    decision := to_jsonb(NEW) ->> 'decision';
    is_page := archive_is_page(session_user);
    IF place = 'database' AND is_page THEN
        RAISE EXCEPTION 'requests are made and decided on by commands here, and not on the review page';
    END IF;
    IF place = 'page' AND NOT is_page AND decision IS DISTINCT FROM 'begun' THEN
        RAISE EXCEPTION 'requests are made and decided on on the review page alone';
    END IF;
    IF decision = 'approved' AND is_page IS DISTINCT FROM (
        SELECT archive_is_page(login::name) FROM requests WHERE id = (to_jsonb(NEW) ->> 'request_id')::bigint
    ) THEN
        RAISE EXCEPTION 'a request is approved where it was made';
    END IF;
    RETURN NEW;
END
$$

-- Drafts are for the page to adopt.
CREATE FUNCTION archive_draft_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a draft is not changed';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM lifecycle WHERE decided_in = 'page') THEN
        RAISE EXCEPTION 'drafts are for archives whose requests are made on the review page';
    END IF;
    RETURN NEW;
END
$$

CREATE FUNCTION archive_is_page(login name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
        WHERE r.rolname = 'archive_page' AND u.rolname = login)
$$

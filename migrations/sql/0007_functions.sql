-- As archive_to_ledger, for tables whose key has several columns: they are its arguments.
CREATE FUNCTION archive_key_to_ledger() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_head) THEN
        INSERT INTO ledger_queue (table_name, key)
        SELECT TG_TABLE_NAME, '[' || string_agg((to_jsonb(NEW) -> a.name)::text, ',' ORDER BY a.place) || ']'
        FROM unnest(TG_ARGV) WITH ORDINALITY AS a (name, place);
    END IF;
    RETURN NULL;
END
$$

REVOKE ALL ON FUNCTION archive_key_to_ledger() FROM PUBLIC

-- The body of a request that somebody else has approved and nobody taken back. Raises where there is none.
CREATE FUNCTION archive_approved(request bigint, request_kind text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE asked requests%ROWTYPE;
BEGIN
    SELECT * INTO asked FROM requests WHERE id = request AND kind = request_kind;
    IF NOT FOUND
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = request AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals WHERE request_id = request AND decision IN ('refused', 'withdrawn'))
       OR encode(sha256(convert_to(asked.body, 'UTF8')), 'hex') <> asked.body_sha256
    THEN
        RAISE EXCEPTION 'no approved request of kind % allows this', request_kind;
    END IF;
    RETURN asked.body::jsonb;
END
$$

CREATE FUNCTION archive_hold_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE body jsonb;
BEGIN
    IF NEW.event = 'released' THEN
        body := archive_approved(NEW.request_id, 'hold-release');
        IF (body ->> 'hold')::bigint IS DISTINCT FROM NEW.hold_id THEN
            RAISE EXCEPTION 'the request is about another hold';
        END IF;
        IF NEW.effective_at IS NULL OR NEW.effective_at < (
            SELECT at FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved'
        ) + interval '720 hours' THEN
            RAISE EXCEPTION 'a release takes effect 30 days after its approval';
        END IF;
    END IF;
    RETURN NEW;
END
$$

-- Whether messages may go earlier by the second term than by the first. A year has 365 days at least and 366 at most.
CREATE FUNCTION archive_shorter(old text, new text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN right(old, 1) = right(new, 1) THEN left(new, -1)::bigint < left(old, -1)::bigint
           ELSE left(new, -1)::bigint * CASE right(new, 1) WHEN 'y' THEN 365 ELSE 1 END
              < left(old, -1)::bigint * CASE right(old, 1) WHEN 'y' THEN 366 ELSE 1 END END
$$

-- Rows are numbered here, one after the other: of two at once, each compared with what was before, the later might
-- undo the other. A copy keeps its numbers.
CREATE FUNCTION archive_term_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE old retention_terms%ROWTYPE; body jsonb;
BEGIN
    IF NEW.keep_at_least !~ '^[1-9][0-9]{0,6}[dy]$' OR NEW.keep_at_most !~ '^[1-9][0-9]{0,6}[dy]$' THEN
        RAISE EXCEPTION 'a term is written as 5y or 1826d';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'terms are set at READ COMMITTED';
    END IF;
    PERFORM pg_advisory_xact_lock(x'72657461696e'::bigint);
    SELECT * INTO old FROM retention_terms WHERE app_id = NEW.app_id ORDER BY id DESC LIMIT 1;
    IF coalesce(current_setting('archiver.copying', true), '') <> 'on'
       OR NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        NEW.id := (SELECT coalesce(max(id), 0) + 1 FROM retention_terms);
    END IF;
    IF archive_shorter(coalesce(old.keep_at_least, '0d'), coalesce(NEW.keep_at_least, '0d'))
       OR archive_shorter(coalesce(old.keep_at_most, '{ever}'), coalesce(NEW.keep_at_most, '{ever}'))
    THEN
        body := archive_approved(NEW.request_id, 'shorten');
        IF ((body ->> 'app_id')::int, body ->> 'keep_at_least', body ->> 'keep_at_most') IS DISTINCT FROM
           (NEW.app_id, NEW.keep_at_least, NEW.keep_at_most)
           OR (body #>> '{before,keep_at_least}', body #>> '{before,keep_at_most}') IS DISTINCT FROM
              (old.keep_at_least, old.keep_at_most)
        THEN
            RAISE EXCEPTION 'the request is about other terms';
        END IF;
    END IF;
    RETURN NEW;
END
$$

-- A table of one's own is seen before the archive's, and before pg_catalog, unless a function says where it looks.
ALTER FUNCTION archive_login() SET search_path = pg_catalog, pg_temp

ALTER FUNCTION archive_person() SET search_path = pg_catalog, pg_temp

ALTER FUNCTION archive_decision() SET search_path = {schema}, pg_temp

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'archive_writer') THEN
        REVOKE INSERT ON requests, approvals FROM archive_writer;
    END IF;
END
$$

-- What deletion asks of holds, once a statement or a transaction and not once a row.

-- Notes for holds in force in which conversations their participants wrote, as what they wrote may go: of what came
-- since it was noted last, once a transaction. Pages are stored under the lock that who deletes holds alone, so none
-- below the highest is missing; what leaves quarantine lies on older ones.
CREATE FUNCTION archive_note_conversations() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE mark text; known_page bigint := -1; known_hold bigint := 0; last_page bigint; last_hold bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'messages are deleted at READ COMMITTED';
    END IF;
    PERFORM pg_advisory_xact_lock(x'6172636869766572'::bigint);
    SELECT coalesce(max(id), 0) INTO last_hold FROM hold_events;
    mark := concat_ws(' ', pg_current_xact_id(), now(), last_hold);
    IF EXISTS (SELECT 1 FROM lifecycle WHERE noted_in = mark) THEN RETURN; END IF;
    SELECT coalesce(noted_page, -1), coalesce(noted_hold, 0) INTO known_page, known_hold FROM lifecycle;
    known_page := coalesce(known_page, -1);
    known_hold := coalesce(known_hold, 0);
    SELECT coalesce(max(id), 0) INTO last_page FROM pages;
    INSERT INTO hold_conversations (hold_id, app_id, conversation)
    SELECT DISTINCT n.hold_id, n.app_id, n.conversation FROM (
        SELECT h.hold_id, m.app_id, m.conversation FROM holds_in_force h
        JOIN messages m ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id > known_hold AND (h.app_id IS NULL OR h.app_id = m.app_id)
        UNION ALL
        SELECT h.hold_id, m.app_id, m.conversation FROM messages m
        JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id <= known_hold AND m.page_id > known_page AND (h.app_id IS NULL OR h.app_id = m.app_id)
        UNION ALL
        SELECT h.hold_id, m.app_id, m.conversation FROM quarantine q
        JOIN messages m ON m.page_id = q.page_id AND m.position = q.position
        JOIN holds_in_force h ON lower(m.sender) IN (h.participant, h.participant_lower)
        WHERE h.id <= known_hold AND q.resolved_at IS NOT NULL AND q.page_id > 0
          AND (h.app_id IS NULL OR h.app_id = m.app_id)
    ) n
    WHERE n.conversation IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = n.hold_id AND c.app_id = n.app_id
                      AND c.conversation = n.conversation);
    UPDATE lifecycle SET noted_in = mark, noted_page = last_page, noted_hold = last_hold;
END
$$

REVOKE ALL ON FUNCTION archive_note_conversations() FROM PUBLIC

CREATE OR REPLACE FUNCTION archive_deletes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM archive_note_conversations();
    RETURN NULL;
END
$$

-- Whoever places a hold waits for what is being deleted, whatever program it is.
CREATE FUNCTION archive_places() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'6172636869766572'::bigint);
    RETURN NULL;
END
$$

-- How a tombstone of an expiry stands for this place of a page, while the term of the message is over. 2: this
-- transaction has put it there, so the holds were asked, and nobody can have placed one since; 1: it was there; 0: none.
CREATE FUNCTION archive_expires(m messages, page bigint, place integer) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = {schema}, pg_temp AS $$
DECLARE at_place integer; of_page integer;
BEGIN
    IF ({begins m} < (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = m.app_id)) IS NOT TRUE THEN
        RETURN 0;
    END IF;
    SELECT CASE WHEN t.xmin = pg_current_xact_id()::xid THEN 2 ELSE 1 END INTO at_place FROM tombstones t
    WHERE t.page_id = page AND t.position = place AND t.kind = 'expired' AND t.app_id = m.app_id
    ORDER BY 1 DESC LIMIT 1;
    IF at_place = 2 THEN RETURN 2; END IF;
    SELECT CASE WHEN t.xmin = pg_current_xact_id()::xid THEN 2 ELSE 1 END INTO of_page FROM tombstones t
    WHERE t.page_id = page AND t.position IS NULL AND t.kind = 'expired' AND t.app_id = m.app_id
    ORDER BY 1 DESC LIMIT 1;
    RETURN greatest(at_place, of_page, 0);
END
$$

-- The same of the tombstone of an erased message.
CREATE FUNCTION archive_erases(of_app integer, of_id text) RETURNS integer
LANGUAGE sql STABLE SET search_path = {schema}, pg_temp AS $$
    SELECT coalesce(max(CASE WHEN t.xmin = pg_current_xact_id()::xid THEN 2 ELSE 1 END), 0) FROM tombstones t
    WHERE t.kind = 'erased' AND t.app_id = of_app AND t.msg_id = of_id
$$

CREATE OR REPLACE FUNCTION archive_expired(m messages, page bigint, place integer) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN archive_expires(m, page, place) > 0;
END
$$

-- Asked of all that a statement adds: a request is read once, and so is a page.
CREATE OR REPLACE FUNCTION archive_tombstone_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE asked record; body jsonb;
BEGIN
    FOR asked IN SELECT DISTINCT kind, request_id, app_id FROM fresh LOOP
        body := archive_approved(asked.request_id, CASE WHEN asked.kind = 'expired' THEN 'retention'
                                 ELSE (SELECT CASE kind WHEN 'reapplied' THEN 'reapplied' ELSE 'erase' END
                                       FROM requests WHERE id = asked.request_id) END);
        IF asked.kind = 'expired' AND (body ->> 'app_id')::int IS DISTINCT FROM asked.app_id THEN
            RAISE EXCEPTION 'the request is about another app';
        END IF;
    END LOOP;
    IF EXISTS (SELECT 1 FROM fresh t WHERE t.kind = 'erased' AND t.msg_id IS NOT NULL AND NOT EXISTS (
                   SELECT 1 FROM request_items i
                   WHERE i.request_id = t.request_id AND i.app_id = t.app_id AND i.msg_id = t.msg_id)) THEN
        RAISE EXCEPTION 'the request is about other messages';
    END IF;
    IF EXISTS (SELECT 1 FROM fresh t JOIN messages m ON m.app_id = t.app_id AND m.msg_id = t.msg_id
               WHERE t.kind = 'erased' AND EXISTS ({held m}))
       OR EXISTS (SELECT 1 FROM fresh t JOIN holds_in_force h ON h.app_id IS NULL OR h.app_id = t.app_id
                  WHERE t.kind = 'erased' AND t.msg_id IS NULL) THEN
        RAISE EXCEPTION 'a legal hold keeps this message';
    END IF;
    IF EXISTS (SELECT 1 FROM fresh WHERE kind = 'expired') AND EXISTS (SELECT 1 FROM holds_in_force)
       AND EXISTS (
        WITH held AS MATERIALIZED (
            SELECT m.page_id, m.position FROM messages m
            WHERE m.page_id IN (SELECT page_id FROM fresh WHERE kind = 'expired') AND EXISTS ({held m})
            UNION ALL
            SELECT r.page_id, r.position FROM message_revisions r
            JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
            WHERE r.page_id IN (SELECT page_id FROM fresh WHERE kind = 'expired') AND EXISTS ({held m})
        )
        SELECT 1 FROM held JOIN fresh t ON t.page_id = held.page_id AND t.position = held.position
        WHERE t.kind = 'expired'
        UNION ALL
        SELECT 1 FROM held JOIN fresh t ON t.page_id = held.page_id
        WHERE t.kind = 'expired' AND t.position IS NULL
    ) THEN
        RAISE EXCEPTION 'a legal hold keeps this message';
    END IF;
    RETURN NULL;
END
$$

-- What a page brought stays as it is, unless it is taken back while the page itself is not stored yet.
CREATE OR REPLACE FUNCTION archive_message_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE goes integer;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id) THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        goes := archive_expires(OLD, OLD.page_id, OLD.position);
        IF goes = 0 THEN RAISE EXCEPTION 'messages is append-only: no tombstone allows this'; END IF;
        IF goes = 1 AND archive_held(OLD) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
        RETURN OLD;
    END IF;
    IF (NEW.app_id, NEW.msg_id, NEW.timestamp_ms, NEW.sent_at, NEW.chat_type, NEW.direction, NEW.page_id,
        NEW.position, NEW.archived_at) IS NOT DISTINCT FROM
       (OLD.app_id, OLD.msg_id, OLD.timestamp_ms, OLD.sent_at, OLD.chat_type, OLD.direction, OLD.page_id,
        OLD.position, OLD.archived_at)
    THEN
        IF NEW.withheld = 2 AND NEW.raw = '' AND length(NEW.digest) = 32 AND NEW.ext IS NULL
           AND coalesce(NEW.sender, NEW.recipient, NEW.conversation) IS NULL
        THEN
            goes := archive_erases(OLD.app_id, OLD.msg_id);
            IF goes = 1 AND archive_held(OLD) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
            IF goes > 0 THEN RETURN NEW; END IF;
        END IF;
        IF OLD.withheld IS NULL AND NEW.withheld = 1
           AND (NEW.sender, NEW.recipient, NEW.conversation, NEW.ext, NEW.raw, NEW.digest, NEW.lossy)
               IS NOT DISTINCT FROM
               (OLD.sender, OLD.recipient, OLD.conversation, OLD.ext, OLD.raw, OLD.digest, OLD.lossy)
        THEN
            IF NOT EXISTS (
                SELECT 1 FROM requests r
                JOIN request_items i ON i.request_id = r.id AND i.app_id = OLD.app_id AND i.msg_id = OLD.msg_id
                WHERE r.kind IN ('erase', 'reapplied')
                  AND EXISTS (SELECT 1 FROM approvals a WHERE a.request_id = r.id AND a.decision = 'approved')
                  AND NOT EXISTS (SELECT 1 FROM approvals a
                                  WHERE a.request_id = r.id AND a.decision IN ('refused', 'withdrawn'))
            ) THEN
                RAISE EXCEPTION 'no approved request of kind erase allows this';
            END IF;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'messages is append-only: no tombstone allows this';
END
$$

CREATE OR REPLACE FUNCTION archive_part_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE m messages; page bigint; place integer; goes integer;
BEGIN
    SELECT * INTO m FROM messages WHERE app_id = OLD.app_id AND msg_id = OLD.msg_id;
    IF TG_TABLE_NAME = 'message_bodies' THEN
        page := m.page_id;
        place := m.position;
    ELSE
        SELECT r.page_id, r.position INTO page, place FROM message_revisions r
        WHERE r.app_id = OLD.app_id AND r.msg_id = OLD.msg_id AND r.revision = OLD.revision;
    END IF;
    IF EXISTS (SELECT 1 FROM pages WHERE id = page) THEN
        goes := archive_erases(OLD.app_id, OLD.msg_id);
        IF goes < 2 THEN goes := greatest(goes, archive_expires(m, page, place)); END IF;
        IF TG_OP = 'UPDATE' OR goes = 0 THEN
            RAISE EXCEPTION '% is append-only: no tombstone allows this', TG_TABLE_NAME;
        END IF;
        IF goes = 1 AND archive_held(m) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END
$$

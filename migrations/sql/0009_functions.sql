-- Whether a hold in force keeps a message. In plpgsql, which plans once a session.
CREATE FUNCTION archive_held(m messages) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN EXISTS ({held m});
END
$$

-- Whether the term of a message is over by the floor of its app, and a tombstone stands for this place of a page.
CREATE FUNCTION archive_expired(m messages, page bigint, place integer) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = {schema}, pg_temp AS $$
BEGIN
    RETURN coalesce({begins m} < (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = m.app_id)
        AND EXISTS (SELECT 1 FROM tombstones t WHERE t.page_id = page AND t.kind = 'expired' AND t.app_id = m.app_id
                    AND (t.position IS NULL OR t.position = place)), false);
END
$$

-- Before anything of a message goes: no hold may be placed meanwhile, and those in force know all conversations in
-- which their participants wrote, as what they wrote may go. With the owner's rights: who deletes places no holds.
CREATE FUNCTION archive_deletes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'messages are deleted at READ COMMITTED';
    END IF;
    PERFORM pg_advisory_xact_lock(x'6172636869766572'::bigint);
    INSERT INTO hold_conversations (hold_id, app_id, conversation)
    SELECT DISTINCT h.hold_id, m.app_id, m.conversation FROM holds_in_force h
    JOIN messages m ON lower(m.sender) IN (h.participant, h.participant_lower)
    WHERE h.participant IS NOT NULL AND m.conversation IS NOT NULL AND (h.app_id IS NULL OR h.app_id = m.app_id)
      AND NOT EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = h.hold_id AND c.app_id = m.app_id
                      AND c.conversation = m.conversation);
    RETURN NULL;
END
$$

REVOKE ALL ON FUNCTION archive_deletes() FROM PUBLIC

CREATE FUNCTION archive_floor_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE body jsonb := archive_approved(NEW.request_id, 'retention');
BEGIN
    IF (body ->> 'app_id')::int IS DISTINCT FROM NEW.app_id OR (body ->> 'floor_ms')::bigint IS DISTINCT FROM NEW.ms THEN
        RAISE EXCEPTION 'the request is about another app or another floor';
    END IF;
    RETURN NEW;
END
$$

CREATE FUNCTION archive_tombstone_rules() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE body jsonb;
BEGIN
    IF NEW.kind = 'expired' THEN
        body := archive_approved(NEW.request_id, 'retention');
        IF (body ->> 'app_id')::int IS DISTINCT FROM NEW.app_id THEN
            RAISE EXCEPTION 'the request is about another app';
        END IF;
        IF EXISTS (SELECT 1 FROM messages m WHERE m.page_id = NEW.page_id
                   AND (NEW.position IS NULL OR m.position = NEW.position) AND archive_held(m))
           OR EXISTS (SELECT 1 FROM message_revisions r JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
                      WHERE r.page_id = NEW.page_id AND (NEW.position IS NULL OR r.position = NEW.position)
                      AND archive_held(m)) THEN
            RAISE EXCEPTION 'a legal hold keeps this message';
        END IF;
    ELSE
        PERFORM archive_approved(NEW.request_id, CASE (SELECT kind FROM requests WHERE id = NEW.request_id)
                                                 WHEN 'reapplied' THEN 'reapplied' ELSE 'erase' END);
        IF NEW.msg_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM request_items i
            WHERE i.request_id = NEW.request_id AND i.app_id = NEW.app_id AND i.msg_id = NEW.msg_id
        ) THEN
            RAISE EXCEPTION 'the request is about other messages';
        END IF;
        IF EXISTS (SELECT 1 FROM messages m WHERE m.app_id = NEW.app_id AND m.msg_id = NEW.msg_id AND archive_held(m))
           OR (NEW.msg_id IS NULL AND EXISTS (SELECT 1 FROM holds_in_force h
                                              WHERE h.app_id IS NULL OR h.app_id = NEW.app_id)) THEN
            RAISE EXCEPTION 'a legal hold keeps this message';
        END IF;
    END IF;
    RETURN NEW;
END
$$

-- What a page brought stays as it is, unless it is taken back while the page itself is not stored yet.
CREATE FUNCTION archive_message_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pages WHERE id = OLD.page_id) THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF NOT archive_expired(OLD, OLD.page_id, OLD.position) THEN
            RAISE EXCEPTION 'messages is append-only: no tombstone allows this';
        END IF;
        IF archive_held(OLD) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
        RETURN OLD;
    END IF;
    IF (NEW.app_id, NEW.msg_id, NEW.timestamp_ms, NEW.sent_at, NEW.chat_type, NEW.direction, NEW.page_id,
        NEW.position, NEW.archived_at) IS NOT DISTINCT FROM
       (OLD.app_id, OLD.msg_id, OLD.timestamp_ms, OLD.sent_at, OLD.chat_type, OLD.direction, OLD.page_id,
        OLD.position, OLD.archived_at)
    THEN
        IF NEW.withheld = 2 AND NEW.raw = '' AND length(NEW.digest) = 32 AND NEW.ext IS NULL
           AND coalesce(NEW.sender, NEW.recipient, NEW.conversation) IS NULL
           AND EXISTS (SELECT 1 FROM tombstones t
                       WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id)
        THEN
            IF archive_held(OLD) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
            RETURN NEW;
        END IF;
        IF OLD.withheld IS NULL AND NEW.withheld = 1
           AND (NEW.sender, NEW.recipient, NEW.conversation, NEW.ext, NEW.raw, NEW.digest, NEW.lossy)
               IS NOT DISTINCT FROM
               (OLD.sender, OLD.recipient, OLD.conversation, OLD.ext, OLD.raw, OLD.digest, OLD.lossy)
        THEN
            IF NOT EXISTS (
                SELECT 1 FROM requests r
                JOIN request_items i ON i.request_id = r.id AND i.app_id = OLD.app_id AND i.msg_id = OLD.msg_id
                WHERE r.kind = 'erase'
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

CREATE FUNCTION archive_part_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
DECLARE m messages; page bigint; place integer;
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
        IF TG_OP = 'UPDATE' OR NOT (
            archive_expired(m, page, place)
            OR EXISTS (SELECT 1 FROM tombstones t
                       WHERE t.kind = 'erased' AND t.app_id = OLD.app_id AND t.msg_id = OLD.msg_id)
        ) THEN
            RAISE EXCEPTION '% is append-only: no tombstone allows this', TG_TABLE_NAME;
        END IF;
        IF archive_held(m) THEN RAISE EXCEPTION 'a legal hold keeps this message'; END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END
$$

-- The hash of a page is not salted, so it is taken out in the end; nothing else of its row changes.
CREATE FUNCTION archive_page_kept() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NEW.sha256 = '' AND to_jsonb(NEW) - 'sha256' = to_jsonb(OLD) - 'sha256' THEN RETURN NEW; END IF;
    RAISE EXCEPTION 'pages is append-only, but for its hash, which may be emptied';
END
$$

-- What announces a message goes when that is there; what reports of a message goes with it, or when its time is over.
CREATE OR REPLACE FUNCTION archive_event_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF OLD.kind = 'message' AND EXISTS (SELECT 1 FROM messages WHERE app_id = OLD.app_id AND msg_id = OLD.msg_id) THEN
        RETURN OLD;
    END IF;
    IF EXISTS (SELECT 1 FROM tombstones t WHERE t.kind = 'erased' AND t.app_id = OLD.app_id
               AND t.msg_id IN (OLD.msg_id, OLD.target_msg_id)) THEN
        RETURN OLD;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM messages m WHERE m.app_id = OLD.app_id AND m.msg_id IN (OLD.msg_id, OLD.target_msg_id)
                   AND (archive_held(m) OR NOT archive_expired(m, m.page_id, m.position)))
       AND (EXISTS (SELECT 1 FROM messages m
                    WHERE m.app_id = OLD.app_id AND m.msg_id IN (OLD.msg_id, OLD.target_msg_id))
            OR (OLD.at_ms < (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = OLD.app_id)
                AND NOT EXISTS (SELECT 1 FROM holds_in_force h WHERE h.app_id IS NULL OR h.app_id = OLD.app_id)))
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events stays, but for what announces a message that is there';
END
$$

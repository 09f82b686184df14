-- Search on PostgreSQL, without any extension: words of Chinese are found by their pairs of characters. Only functions
-- of pg_catalog are called by what an index is made of, so that a dump can be restored.

-- The bigrams of a normalised text: every pair of neighbours, and the last character of each run by itself.
CREATE FUNCTION archive_bigrams(told text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5000 AS $$
    SELECT coalesce(array_agg(CASE WHEN y IS NULL OR y IN (' ', E'\n') THEN x ELSE x || y END), '{}')
    FROM (SELECT string_to_array(told, NULL) AS chars) c, unnest(chars, chars[2:]) AS pair (x, y)
    WHERE x NOT IN (' ', E'\n')
$$;

CREATE INDEX ix_search_texts_bigrams ON search_texts USING gin (array_to_tsvector(archive_bigrams(text)));

-- The latest texts are read along it; SQLite has its numbers.
CREATE INDEX ix_search_texts_timestamp_ms ON search_texts (timestamp_ms);

-- A text as a search compares it; archiver/store/terms.py says the same in Python.
CREATE FUNCTION archive_normal(told text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000 AS $$
DECLARE
    unseen CONSTANT text := '{unseen}';
    found text := told;
    pair text[];
BEGIN
    IF found !~ '^[\u0020-\u007e]*$' THEN
        found := normalize(regexp_replace(found, unseen, '', 'g'), NFKC);
        IF found ~ '[{folded}]' THEN
            found := translate(found, '{from}', '{to}');
            FOREACH pair SLICE 1 IN ARRAY ARRAY[{pairs}] LOOP
                found := replace(found, pair[1], pair[2]);
            END LOOP;
        END IF;
        found := regexp_replace(normalize(found, NFKC), unseen, '', 'g');
    END IF;
    RETURN btrim(regexp_replace(lower(found COLLATE "C"), '{space}', ' ', 'g'), ' ');
END
$$;

-- What of one body is searched: a line each of its text, file name, address, and texts in `extra` but secrets.
CREATE FUNCTION archive_searchable(told text, filename text, addr text, extra jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
    WITH RECURSIVE walk (value) AS (
        SELECT extra
        UNION ALL
        SELECT inner_value.value
        FROM walk, LATERAL (
            SELECT e.value FROM jsonb_each(CASE jsonb_typeof(walk.value) WHEN 'object' THEN walk.value END) e
            WHERE e.key NOT IN ('secret', 'thumb_secret')
            UNION ALL
            SELECT a.value FROM jsonb_array_elements(CASE jsonb_typeof(walk.value) WHEN 'array' THEN walk.value END) a
        ) inner_value
    )
    SELECT string_agg(archive_normal(line), E'\n')
    FROM (
        SELECT unnest(ARRAY[told, filename, addr]) AS line
        UNION ALL
        SELECT value #>> '{}' FROM walk WHERE jsonb_typeof(value) = 'string'
    ) lines
$$;

-- A normalised query as PostgreSQL's index is asked: all of its pairs, and what begins with its single characters.
CREATE FUNCTION archive_query(wanted text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    WITH pairs AS (
        SELECT n, x, y, lag(x) OVER (ORDER BY n) AS w
        FROM (SELECT string_to_array(wanted, NULL) AS chars) c,
             unnest(chars, chars[2:]) WITH ORDINALITY AS pair (x, y, n)
    ), words AS (
        SELECT DISTINCT x || coalesce(nullif(y, ' '), '') AS word, coalesce(y, ' ') = ' ' AS alone
        FROM pairs
        WHERE x <> ' ' AND (coalesce(y, ' ') <> ' ' OR coalesce(w, ' ') = ' ')
    )
    SELECT string_agg(
        '''' || replace(replace(word, '\', '\\'), '''', '''''') || '''' || CASE WHEN alone THEN ':*' ELSE '' END, ' & '
    )::tsquery
    FROM words
$$;

-- Finds a text in what was said, whatever its case, width, and unseen characters; all of it, or the latest so many.
-- What `archiver index` has not come to yet is read instead, so nothing is missing. Runs with the rights of its owner,
-- as the views do. Its work_mem holds what the index finds in a hundred million texts: where that does not fit, the
-- pairs of all texts in a page are made anew.
CREATE FUNCTION archive_search(wanted text, latest integer DEFAULT NULL)
RETURNS TABLE (app text, msg_id text, revision integer, sent_at timestamptz, sender text, recipient text,
               conversation text, chat_type text, body_position integer, body_type text, text text, filename text,
               addr text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
    query CONSTANT text := archive_normal(wanted);
    -- As an array, so that it is planned by what is in it: mostly nothing.
    waiting CONSTANT bigint[] := ARRAY(SELECT DISTINCT q.page_id FROM search_queue q);
    texts text := 'search_texts t WHERE array_to_tsvector(archive_bigrams(t.text)) @@ $2 AND strpos(t.text, $1) > 0';
    held bigint;
    newest search_texts[];
BEGIN
    IF query IS NULL OR length(query) NOT BETWEEN 1 AND {longest} THEN
        RAISE 'a search is for 1 to {longest} characters that can be seen';
    END IF;
    IF latest < 1 THEN
        RAISE 'latest: give 1 or more, or leave it out to find all';
    END IF;
    -- The latest texts are read instead where they hold it often enough, as archiver/store/search.py does.
    IF latest IS NOT NULL THEN
        EXECUTE
            'SELECT count(*) FROM (SELECT * FROM search_texts ORDER BY timestamp_ms DESC LIMIT 1000) t
             WHERE strpos(t.text, $1) > 0'
        INTO held USING query;
        IF 1500 * latest::bigint <= 40000 * held THEN
            EXECUTE
                'SELECT array_agg(found) FROM (
                     SELECT t.* FROM (SELECT * FROM search_texts ORDER BY timestamp_ms DESC
                                      FETCH FIRST ($3) ROWS WITH TIES) t
                     WHERE strpos(t.text, $1) > 0 AND (t.part = 0 OR NOT EXISTS (
                         SELECT FROM search_texts b
                         WHERE b.app_id = t.app_id AND b.msg_id = t.msg_id AND b.revision = t.revision
                           AND b.position = t.position AND b.part < t.part AND strpos(b.text, $1) > 0))
                     ORDER BY t.timestamp_ms DESC, t.app_id, t.msg_id COLLATE "C", t.revision, t.position LIMIT $2
                 ) found'
            INTO newest USING query, latest, 1500 * latest::bigint / held;
        END IF;
    END IF;
    IF cardinality(newest) = latest THEN
        texts := 'unnest($5) t';
    END IF;
    RETURN QUERY EXECUTE
        'WITH found AS (
             SELECT t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position FROM ' || texts || '
             UNION
             SELECT m.timestamp_ms, b.app_id, b.msg_id, 0, b.position FROM messages m
             JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
             WHERE m.page_id = ANY ($3)
               AND strpos(archive_searchable(b.text, b.filename, b.addr, b.extra), $1) > 0
             UNION
             SELECT m.timestamp_ms, b.app_id, b.msg_id, b.revision, b.position FROM message_revisions r
             JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
             JOIN revision_bodies b ON b.app_id = r.app_id AND b.msg_id = r.msg_id AND b.revision = r.revision
             WHERE r.page_id = ANY ($3)
               AND strpos(archive_searchable(b.text, b.filename, b.addr, b.extra), $1) > 0
         ), chosen AS (
             SELECT * FROM found
             ORDER BY timestamp_ms DESC, app_id, msg_id COLLATE "C", revision, position LIMIT $4
         )
         SELECT a.name, m.msg_id, f.revision, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type,
                f.position, coalesce(r.type, b.type),
                CASE WHEN f.revision = 0 THEN b.text ELSE r.text END,
                CASE WHEN f.revision = 0 THEN b.filename ELSE r.filename END,
                CASE WHEN f.revision = 0 THEN b.addr ELSE r.addr END
         FROM chosen f
         JOIN messages m ON m.app_id = f.app_id AND m.msg_id = f.msg_id
         JOIN apps a ON a.id = f.app_id
         LEFT JOIN message_bodies b ON f.revision = 0
           AND b.app_id = f.app_id AND b.msg_id = f.msg_id AND b.position = f.position
         LEFT JOIN revision_bodies r ON f.revision > 0
           AND r.app_id = f.app_id AND r.msg_id = f.msg_id AND r.revision = f.revision AND r.position = f.position
         ORDER BY f.timestamp_ms DESC, f.app_id, f.msg_id COLLATE "C", f.revision, f.position'
    USING query, archive_query(query), waiting, latest, newest;
END
$$;

REVOKE ALL ON FUNCTION archive_search(text, integer) FROM PUBLIC;

CREATE FUNCTION archive_to_index() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'pages' THEN
        INSERT INTO search_queue (page_id) VALUES (NEW.id);
    ELSE
        INSERT INTO search_queue (page_id) VALUES (NEW.page_id);
    END IF;
    RETURN NULL;
END
$$;

-- Whatever stores a page says so here in the same transaction: nothing can be committed late and be missed.
CREATE TRIGGER pages_to_index AFTER INSERT ON pages
FOR EACH ROW WHEN (NEW.new + NEW.changed > 0) EXECUTE FUNCTION archive_to_index();

CREATE TRIGGER requeued_to_index AFTER UPDATE OF resolved_at ON quarantine
FOR EACH ROW WHEN (NEW.resolved_at IS NOT NULL) EXECUTE FUNCTION archive_to_index();

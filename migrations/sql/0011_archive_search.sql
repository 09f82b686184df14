-- Finds a text in what was said, whatever its case, width, and unseen characters; all of it, or the latest so many.
-- What `archiver index` has not come to yet is read instead, so nothing is missing. Runs with the rights of its owner,
-- as the views do. Its work_mem holds what the index finds in a hundred million texts: where that does not fit, the
-- pairs of all texts in a page are made anew. What is withheld is left out.
--
-- Places first, and what lies there in statements of their own, by id: on a cluster, what was collected from all
-- machines is not joined to what they have.
CREATE OR REPLACE FUNCTION archive_search(wanted text, latest integer DEFAULT NULL)
RETURNS TABLE (app text, msg_id text, revision integer, sent_at timestamptz, sender text, recipient text,
               conversation text, chat_type text, body_position integer, body_type text, text text, filename text,
               addr text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
    query CONSTANT text := archive_normal(wanted);
    -- As an array, so that it is planned by what is in it: mostly nothing.
    waiting CONSTANT bigint[] := ARRAY(SELECT DISTINCT q.page_id FROM search_queue q);
    by_index CONSTANT text := '
        SELECT t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position FROM search_texts t
        WHERE array_to_tsvector(archive_bigrams(t.text)) @@ $2 AND strpos(t.text, $1) > 0';
    -- A message's texts have one stamp, so the overlapping parts of a long one are all among these.
    by_time CONSTANT text := '
        WITH latest AS (SELECT * FROM search_texts ORDER BY timestamp_ms DESC FETCH FIRST ($2) ROWS WITH TIES)
        SELECT t.timestamp_ms, t.app_id, t.msg_id, t.revision, t.position FROM latest t
        WHERE strpos(t.text, $1) > 0
          AND (t.part = 0 OR (t.app_id, t.msg_id, t.revision, t.position, t.part) IN (
              SELECT b.app_id, b.msg_id, b.revision, b.position, min(b.part) FROM latest b
              WHERE strpos(b.text, $1) > 0 GROUP BY b.app_id, b.msg_id, b.revision, b.position))';
    unindexed CONSTANT text := '
        SELECT m.timestamp_ms, b.app_id, b.msg_id, 0, b.position FROM messages m
        JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
        WHERE m.page_id = ANY ($3) AND m.withheld IS NULL AND strpos(archive_searchable(b.text, b.filename, b.addr, b.extra), $1) > 0
        UNION
        SELECT m.timestamp_ms, b.app_id, b.msg_id, b.revision, b.position FROM message_revisions r
        JOIN messages m ON m.app_id = r.app_id AND m.msg_id = r.msg_id
        JOIN revision_bodies b ON b.app_id = r.app_id AND b.msg_id = r.msg_id AND b.revision = r.revision
        WHERE r.page_id = ANY ($3) AND m.withheld IS NULL AND strpos(archive_searchable(b.text, b.filename, b.addr, b.extra), $1) > 0';
    places CONSTANT text := '
        SELECT array_agg(timestamp_ms), array_agg(app_id), array_agg(msg_id), array_agg(revision), array_agg(position)
        FROM (SELECT * FROM ({found}) found (timestamp_ms, app_id, msg_id, revision, position)
              WHERE (app_id, msg_id) NOT IN (SELECT s.app_id, s.msg_id FROM messages s WHERE s.withheld = 1)
              ORDER BY timestamp_ms DESC, app_id, msg_id COLLATE "C", revision, position LIMIT {most}) places';
    shown CONSTANT text := '
        SELECT a.name, m.msg_id, f.revision, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type,
               f.position, coalesce(r.type, b.type),
               CASE WHEN f.revision = 0 THEN b.text ELSE r.text END,
               CASE WHEN f.revision = 0 THEN b.filename ELSE r.filename END,
               CASE WHEN f.revision = 0 THEN b.addr ELSE r.addr END
        FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS f (app_id, msg_id, revision, position, place)
        JOIN messages m ON m.app_id = f.app_id AND m.msg_id = f.msg_id
        JOIN apps a ON a.id = m.app_id
        LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
          AND b.position = f.position AND f.revision = 0
        LEFT JOIN revision_bodies r ON r.app_id = m.app_id AND r.msg_id = m.msg_id
          AND r.revision = f.revision AND r.position = f.position
        ORDER BY f.place';
    at_once CONSTANT integer := 10000;
    held bigint;
    complete boolean := false;
    found text := by_index;
    stamps bigint[]; app_ids integer[]; msg_ids text[]; revisions integer[]; positions integer[];
BEGIN
    IF query IS NULL OR length(query) NOT BETWEEN 1 AND {longest} THEN
        RAISE 'a search is for 1 to {longest} characters that can be seen';
    END IF;
    IF latest < 1 THEN
        RAISE 'latest: give 1 or more, or leave it out to find all';
    END IF;
    -- The latest texts are read instead where they hold it often enough, as archiver/store/search/query.py does.
    IF latest IS NOT NULL THEN
        EXECUTE
            'SELECT count(*) FROM (SELECT * FROM search_texts ORDER BY timestamp_ms DESC LIMIT 1000) t
             WHERE strpos(t.text, $1) > 0'
        INTO held USING query;
        IF 1500 * latest::bigint <= 40000 * held THEN
            EXECUTE replace(replace(places, '{found}', by_time), '{most}', '$3')
            INTO stamps, app_ids, msg_ids, revisions, positions USING query, 1500 * latest::bigint / held, latest;
            complete := coalesce(cardinality(stamps) = latest, false);
        END IF;
    END IF;
    IF cardinality(waiting) > 0 OR NOT complete THEN
        IF complete THEN
            found := 'SELECT * FROM unnest($5, $6, $7, $8, $9)';
        END IF;
        found := found || CASE WHEN cardinality(waiting) > 0 THEN ' UNION ' || unindexed
                               ELSE ' GROUP BY 1, 2, 3, 4, 5' END;
        EXECUTE replace(replace(places, '{found}', found), '{most}', '$4')
        INTO stamps, app_ids, msg_ids, revisions, positions
        USING query, archive_query(query), waiting, latest, stamps, app_ids, msg_ids, revisions, positions;
    END IF;
    FOR n IN 1 .. coalesce(cardinality(stamps), 0) BY at_once LOOP
        RETURN QUERY EXECUTE shown
        USING app_ids[n:n + at_once - 1], msg_ids[n:n + at_once - 1],
              revisions[n:n + at_once - 1], positions[n:n + at_once - 1];
    END LOOP;
END
$$

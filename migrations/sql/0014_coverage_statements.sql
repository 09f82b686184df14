-- The claim for who may read no table: from when to when a source is complete, what is missing in between, and what
-- has expired since. As 0003 made it.
CREATE {or_replace} VIEW coverage_statements AS
WITH claims AS (
    SELECT a.name AS app, m.source, m.complete_from_ms, m.complete_until_ms, m.audited_until_ms, s.origin_ms,
           (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = m.app_id) AS expired_before_ms,
           (SELECT count(*) FROM coverage_holes h
            WHERE h.app = a.name AND h.source = m.source AND h.lo_ms < m.complete_until_ms) AS holes
    FROM watermarks m
    JOIN apps a ON a.id = m.app_id
    JOIN sources s ON s.app_id = m.app_id AND s.source = m.source
)
SELECT c.app, c.source, {from_at} AS complete_from, {until_at} AS complete_until,
       CASE WHEN c.audited_until_ms > c.origin_ms THEN {audited_at} END AS audited_until, c.holes,
       CASE WHEN c.complete_until_ms <= c.complete_from_ms THEN 'not'
            WHEN c.holes > 0 THEN 'partly' ELSE 'complete' END AS verdict,
       CASE WHEN c.complete_until_ms <= c.complete_from_ms
            THEN 'Nothing is claimed yet; the archive begins at ' || {from_text} || '.'
            ELSE 'Complete from ' || {from_text} || ' to ' || {until_text}
                 || CASE WHEN c.holes > 0 THEN ', except ' || c.holes || ' holes (see coverage_holes)' ELSE '' END
                 || CASE WHEN c.audited_until_ms > c.origin_ms THEN '. Audited up to ' || {audited_text} ELSE '' END
                 || '.'
                 || CASE WHEN c.expired_before_ms IS NOT NULL
                         THEN ' Messages stamped before ' || {expired_text} || ' have expired.' ELSE '' END
            END AS statement
FROM claims c

CREATE {or_replace} VIEW coverage_holes AS
WITH planned AS (
    SELECT w.app_id, w.source, w.lo_ms, w.hi_ms, w.state, w.reason, w.unproven, w.accepted_by, w.accepted_at,
           lag(w.hi_ms) OVER (PARTITION BY w.app_id, w.source ORDER BY w.lo_ms) AS before_ms
    FROM windows w
    WHERE w.pass = 1 AND w.cause <> 'before_first_contact'
), holes AS (
    SELECT app_id, source, lo_ms, hi_ms, state, reason, accepted_by, accepted_at FROM planned
    WHERE state IN ('expired', 'stuck', 'accepted')
    UNION ALL
    SELECT app_id, source, lo_ms, hi_ms, 'unproven', 'closed by an order that proved false', NULL, NULL
    FROM planned WHERE unproven = {true} AND state = 'closed'
    UNION ALL
    SELECT app_id, source, before_ms, lo_ms, 'uncovered', 'no window covers this range', NULL, NULL
    FROM planned WHERE before_ms < lo_ms
)
SELECT a.name AS app, h.source, {lo_at} AS lo_at, {hi_at} AS hi_at, h.state, h.reason, h.lo_ms, h.hi_ms,
       h.accepted_by, h.accepted_at
FROM holes h
JOIN apps a ON a.id = h.app_id

CREATE TRIGGER hold_events_rules BEFORE INSERT ON hold_events WHEN NEW.event = 'released'
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind hold-release allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind = 'hold-release')
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about another hold')
    WHERE NEW.hold_id IS NOT (SELECT json_extract(body, '$.hold') FROM requests WHERE id = NEW.request_id);
    SELECT RAISE(ABORT, 'a release takes effect 30 days after its approval')
    WHERE coalesce(NEW.effective_at, '') < (
        SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at, '+30 days') FROM approvals
        WHERE request_id = NEW.request_id AND decision = 'approved'
    );
END

CREATE TRIGGER retention_terms_form BEFORE INSERT ON retention_terms
BEGIN
    SELECT RAISE(ABORT, 'a term is written as 5y or 1826d')
    FROM (SELECT NEW.keep_at_least AS term UNION ALL SELECT NEW.keep_at_most)
    WHERE term NOT GLOB '[1-9]*[dy]' OR substr(term, 1, length(term) - 1) GLOB '*[^0-9]*' OR length(term) > 8;
END

CREATE TRIGGER retention_terms_end AFTER INSERT ON retention_terms
BEGIN
    SELECT RAISE(ABORT, 'terms are added at the end') WHERE NEW.id < (SELECT max(id) FROM retention_terms);
END

-- A year has 365 days at least and 366 at most.
CREATE TRIGGER retention_terms_rules BEFORE INSERT ON retention_terms WHEN (
    SELECT max(CASE WHEN substr(old, -1) = substr(new, -1) THEN CAST(new AS INTEGER) < CAST(old AS INTEGER)
               ELSE CAST(new AS INTEGER) * CASE substr(new, -1) WHEN 'y' THEN 365 ELSE 1 END
                  < CAST(old AS INTEGER) * CASE substr(old, -1) WHEN 'y' THEN 366 ELSE 1 END END)
    FROM (
        SELECT coalesce(t.keep_at_least, '0d') AS old, coalesce(NEW.keep_at_least, '0d') AS new
        FROM (SELECT max(id) AS id FROM retention_terms WHERE app_id = NEW.app_id) newest
        LEFT JOIN retention_terms t ON t.id = newest.id
        UNION ALL
        SELECT coalesce(t.keep_at_most, '{ever}'), coalesce(NEW.keep_at_most, '{ever}')
        FROM (SELECT max(id) AS id FROM retention_terms WHERE app_id = NEW.app_id) newest
        LEFT JOIN retention_terms t ON t.id = newest.id
    )
)
BEGIN
    SELECT RAISE(ABORT, 'no approved request of kind shorten allows this')
    WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request_id AND kind = 'shorten')
       OR NOT EXISTS (SELECT 1 FROM approvals WHERE request_id = NEW.request_id AND decision = 'approved')
       OR EXISTS (SELECT 1 FROM approvals
                  WHERE request_id = NEW.request_id AND decision IN ('refused', 'withdrawn'));
    SELECT RAISE(ABORT, 'the request is about other terms')
    WHERE NOT EXISTS (
        SELECT 1 FROM requests r
        LEFT JOIN retention_terms t
          ON t.id = (SELECT max(id) FROM retention_terms WHERE app_id = NEW.app_id)
        WHERE r.id = NEW.request_id
          AND json_extract(r.body, '$.app_id') IS NEW.app_id
          AND json_extract(r.body, '$.keep_at_least') IS NEW.keep_at_least
          AND json_extract(r.body, '$.keep_at_most') IS NEW.keep_at_most
          AND json_extract(r.body, '$.before.keep_at_least') IS t.keep_at_least
          AND json_extract(r.body, '$.before.keep_at_most') IS t.keep_at_most
    );
END

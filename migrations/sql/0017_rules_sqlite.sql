-- A file knows no logins: that requests are made in the place of lifecycle is the program's word here.
CREATE TRIGGER request_drafts_rules BEFORE INSERT ON request_drafts
BEGIN
    SELECT RAISE(ABORT, 'drafts are for archives whose requests are made on the review page')
    WHERE NOT EXISTS (SELECT 1 FROM lifecycle WHERE decided_in = 'page');
END

CREATE TRIGGER request_drafts_no_update BEFORE UPDATE ON request_drafts
BEGIN
    SELECT RAISE(ABORT, 'a draft is not changed');
END

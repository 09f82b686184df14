-- After the person is known and the decision looked at: triggers fire in the order of their names.
CREATE TRIGGER requests_c_place BEFORE INSERT ON requests
FOR EACH ROW EXECUTE FUNCTION archive_place()

CREATE TRIGGER approvals_c_place BEFORE INSERT ON approvals
FOR EACH ROW EXECUTE FUNCTION archive_place()

CREATE TRIGGER request_drafts_b_rules BEFORE INSERT ON request_drafts
FOR EACH ROW EXECUTE FUNCTION archive_draft_rules()

CREATE TRIGGER request_drafts_no_update BEFORE UPDATE ON request_drafts
FOR EACH ROW EXECUTE FUNCTION archive_draft_rules()

-- After the person is known: triggers fire in the order of their names.
CREATE TRIGGER approvals_b_rules BEFORE INSERT ON approvals
FOR EACH ROW EXECUTE FUNCTION archive_decision()

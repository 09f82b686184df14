-- After the person is known: triggers fire in the order of their names.
CREATE TRIGGER hold_events_b_rules BEFORE INSERT ON hold_events
FOR EACH ROW EXECUTE FUNCTION archive_hold_rules()

CREATE TRIGGER retention_terms_b_rules BEFORE INSERT ON retention_terms
FOR EACH ROW EXECUTE FUNCTION archive_term_rules()

DROP TRIGGER tombstones_rules ON tombstones

CREATE TRIGGER tombstones_rules AFTER INSERT ON tombstones
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION archive_tombstone_rules()

CREATE TRIGGER hold_events_lock BEFORE INSERT ON hold_events
FOR EACH STATEMENT EXECUTE FUNCTION archive_places()

CREATE TRIGGER expired_before_rules BEFORE INSERT ON expired_before
FOR EACH ROW EXECUTE FUNCTION archive_floor_rules()

CREATE TRIGGER tombstones_lock BEFORE INSERT ON tombstones
FOR EACH STATEMENT EXECUTE FUNCTION archive_deletes()

CREATE TRIGGER tombstones_rules BEFORE INSERT ON tombstones
FOR EACH ROW EXECUTE FUNCTION archive_tombstone_rules()

CREATE TRIGGER pages_kept BEFORE UPDATE ON pages
FOR EACH ROW EXECUTE FUNCTION archive_page_kept()

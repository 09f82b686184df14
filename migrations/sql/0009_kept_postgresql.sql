-- None on INSERT: what a pull stores costs nothing more.
CREATE TRIGGER messages_lock BEFORE UPDATE OR DELETE ON messages
FOR EACH STATEMENT EXECUTE FUNCTION archive_deletes()

CREATE TRIGGER messages_kept BEFORE UPDATE OR DELETE ON messages
FOR EACH ROW EXECUTE FUNCTION archive_message_kept()

CREATE TRIGGER messages_no_truncate BEFORE TRUNCATE ON messages
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER message_bodies_lock BEFORE UPDATE OR DELETE ON message_bodies
FOR EACH STATEMENT EXECUTE FUNCTION archive_deletes()

CREATE TRIGGER message_bodies_kept BEFORE UPDATE OR DELETE ON message_bodies
FOR EACH ROW EXECUTE FUNCTION archive_part_kept()

CREATE TRIGGER message_bodies_no_truncate BEFORE TRUNCATE ON message_bodies
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER message_revisions_lock BEFORE UPDATE OR DELETE ON message_revisions
FOR EACH STATEMENT EXECUTE FUNCTION archive_deletes()

CREATE TRIGGER message_revisions_kept BEFORE UPDATE OR DELETE ON message_revisions
FOR EACH ROW EXECUTE FUNCTION archive_part_kept()

CREATE TRIGGER message_revisions_no_truncate BEFORE TRUNCATE ON message_revisions
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

CREATE TRIGGER revision_bodies_lock BEFORE UPDATE OR DELETE ON revision_bodies
FOR EACH STATEMENT EXECUTE FUNCTION archive_deletes()

CREATE TRIGGER revision_bodies_kept BEFORE UPDATE OR DELETE ON revision_bodies
FOR EACH ROW EXECUTE FUNCTION archive_part_kept()

CREATE TRIGGER revision_bodies_no_truncate BEFORE TRUNCATE ON revision_bodies
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()

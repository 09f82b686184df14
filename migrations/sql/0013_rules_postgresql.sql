CREATE TRIGGER request_items_rules BEFORE INSERT ON request_items
FOR EACH ROW EXECUTE FUNCTION archive_item_rules()

-- Search on SQLite. The tokens are pairs of characters, made by the program (archiver/store/terms.py) and separated by
-- spaces: everything else belongs to a token. Positions are not kept: what is found is compared with search_texts.

CREATE VIRTUAL TABLE search_index USING fts5(
    bigrams, content = '', detail = 'none', columnsize = 0,
    tokenize = 'ascii tokenchars ''!"#$%&''''()*+,-./:;<=>?@[\]^_`{|}~'''
);

-- Not the rowid: VACUUM may change it.
CREATE UNIQUE INDEX search_index_number ON search_texts (number);

-- Whatever stores a page says so here in the same transaction: nothing can be committed late and be missed.
CREATE TRIGGER pages_to_index AFTER INSERT ON pages WHEN NEW.new + NEW.changed > 0
BEGIN
    INSERT INTO search_queue (page_id) VALUES (NEW.id);
END;

CREATE TRIGGER requeued_to_index AFTER UPDATE OF resolved_at ON quarantine WHEN NEW.resolved_at IS NOT NULL
BEGIN
    INSERT INTO search_queue (page_id) VALUES (NEW.page_id);
END;

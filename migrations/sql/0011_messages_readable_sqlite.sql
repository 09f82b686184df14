-- What people read of messages, but for those that are withheld. As 0008 made it.
CREATE VIEW messages_readable AS
SELECT a.name AS app, m.msg_id, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type, m.direction,
       b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url, b.file_length, b.duration,
       b.width, b.height, b.lat, b.lng, b.addr, 
       CASE WHEN b.extra IS NULL OR instr(b.extra, 'secret":') = 0 THEN b.extra
            WHEN NOT json_valid(b.extra) THEN '{"hidden": "a secret lies deeper in it"}'
            WHEN instr(json_remove(b.extra, '$.secret', '$.thumb_secret'), '"secret":') = 0
             AND instr(json_remove(b.extra, '$.secret', '$.thumb_secret'), '"thumb_secret":') = 0
            THEN nullif(json_remove(b.extra, '$.secret', '$.thumb_secret'), '{}')
            ELSE '{"hidden": "a secret lies deeper in it"}' END AS extra, m.ext, m.lossy, m.archived_at,
       {marks}
FROM messages m
JOIN apps a ON a.id = m.app_id
LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
WHERE m.withheld IS NULL

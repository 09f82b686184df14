-- What people read of messages, but for those that are withheld. As 0008 made it.
CREATE OR REPLACE VIEW messages_readable AS
SELECT a.name AS app, m.msg_id, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type, m.direction,
       b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url, b.file_length, b.duration,
       b.width, b.height, b.lat, b.lng, b.addr, 
       CASE WHEN b.extra IS NULL OR strpos(b.extra::text, 'secret":') = 0 THEN b.extra
            WHEN jsonb_typeof(b.extra) <> 'object' THEN
                CASE WHEN strpos(b.extra::text, '"secret":') = 0 AND strpos(b.extra::text, '"thumb_secret":') = 0
                     THEN b.extra ELSE '{"hidden": "a secret lies deeper in it"}' END
            WHEN strpos((b.extra - 'secret' - 'thumb_secret')::text, '"secret":') = 0
             AND strpos((b.extra - 'secret' - 'thumb_secret')::text, '"thumb_secret":') = 0
            THEN nullif(b.extra - 'secret' - 'thumb_secret', '{}')
            ELSE '{"hidden": "a secret lies deeper in it"}' END AS extra, m.ext, m.lossy, m.archived_at,
       {marks}
FROM messages m
JOIN apps a ON a.id = m.app_id
LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
WHERE m.withheld IS NULL

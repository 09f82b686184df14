-- What must stay at this moment: a line for each placing and each widening, until a release has taken effect.
CREATE VIEW holds_in_force AS
SELECT h.id, h.hold_id, h.name, h.app_id, h.sender, h.sender_lower, h.recipient, h.recipient_lower, h.conversation,
       h.conversation_other, h.participant, h.participant_lower, h.unreadable, h.is_list, h.from_ms, h.to_ms,
       h.case_id, h.reason, h.who, h.at
FROM hold_events h
WHERE h.event <> 'released' AND NOT EXISTS (
    SELECT 1 FROM hold_events r WHERE r.hold_id = h.hold_id AND r.event = 'released' AND r.effective_at <= {now}
)

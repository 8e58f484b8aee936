-- Reads the mailbox of a session.
-- KEYS: session, mailbox
-- Returns {number of the last frame, frame...}, or nil when there was never one.
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq then return nil end
local box = redis.call('LRANGE', KEYS[2], 0, -1)
table.insert(box, 1, seq)
return box

-- Makes a session another node's.
-- KEYS: session, mailbox; ARGV: owner so far, owner from now on
-- Returns nil when it is somebody else's, else {state, number of the last frame, JID, frame...}.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return nil end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
if ARGV[1] ~= ARGV[2] then redis.call('HDEL', KEYS[1], 'at') end -- as in grant.lua
local box = redis.call('LRANGE', KEYS[2], 0, -1)
table.insert(box, 1, redis.call('HGET', KEYS[1], 'jid') or '')
table.insert(box, 1, redis.call('HGET', KEYS[1], 'seq') or '0')
table.insert(box, 1, redis.call('HGET', KEYS[1], 'state') or '')
return box

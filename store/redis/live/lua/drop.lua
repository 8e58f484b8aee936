-- Removes a session that ended.
-- KEYS: session, mailbox, what was posted before; ARGV: owner
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1

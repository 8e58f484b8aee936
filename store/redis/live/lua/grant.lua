-- Gives a session of the owner to another one.
-- KEYS: session; ARGV: owner, the other one
-- Returns 1, or 0 when the session is not the owner's (any more).
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
redis.call('HDEL', KEYS[1], 'at') -- each owner numbers its own states
return 1

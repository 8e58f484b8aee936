-- Writes a session's state down and removes from its mailbox what the state has.
-- KEYS: session, mailbox, what was posted before
-- ARGV: owner, state, number up to which the mailbox is done, lifetime in ms
-- Returns 1, or 0 when the session is not the owner's (any more).
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
local first = tonumber(redis.call('HGET', KEYS[1], 'seq') or '0') - redis.call('LLEN', KEYS[2])
local done = tonumber(ARGV[3]) - first
if done > 0 then redis.call('LTRIM', KEYS[2], done, -1) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 1

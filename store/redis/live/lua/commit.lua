-- Writes a session's state down and removes from its mailbox what the state has.
-- KEYS: session, mailbox, what was posted before
-- ARGV: owner, state, number up to which the mailbox is done, lifetime in ms, number of the state among the owner's
-- Returns 1, or 0 when the session is not the owner's (any more).
local owner, seq, had = unpack(redis.call('HMGET', KEYS[1], 'owner', 'seq', 'at'))
if owner ~= ARGV[1] then return 0 end
-- One may come after a later one, over a connection that was given up: the
-- mailbox no longer has what the later one has.
if had and tonumber(had) > tonumber(ARGV[5]) then return 1 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'at', ARGV[5])
local first = tonumber(seq or '0') - redis.call('LLEN', KEYS[2])
local done = tonumber(ARGV[3]) - first
if done > 0 then redis.call('LTRIM', KEYS[2], done, -1) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 1

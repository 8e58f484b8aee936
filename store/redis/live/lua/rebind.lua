-- Replaces or removes the binding of one generation; others are left alone.
-- KEYS: bindings of the account; ARGV: resource, generation, binding or '', channel, account,
-- channel and word of the node itself
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or string.match(old, '^(%d+) ') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
	redis.call('HDEL', KEYS[1], ARGV[1])
else
	redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1

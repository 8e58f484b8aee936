-- Keeps what a user was and since when.
-- KEYS  account, changes
-- ARGV  how many stay at most; time, state, why, ...
-- Answers OK, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
for i = 2, #ARGV, 3 do
	local at = ARGV[i]
	redis.call('ZREMRANGEBYSCORE', KEYS[2], at, at)
	redis.call('ZADD', KEYS[2], at, at .. ' ' .. ARGV[i + 1] .. ' ' .. ARGV[i + 2])
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -(tonumber(ARGV[1]) + 1))
return 'OK'

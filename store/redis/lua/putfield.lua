-- Replaces a field of something an account owns.
-- KEYS  account, the thing
-- ARGV  field; value, "" removes it
-- Answers OK, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
if ARGV[2] == '' then
	redis.call('HDEL', KEYS[2], ARGV[1])
else
	redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return 'OK'

-- Replaces something an account owns.
-- KEYS  account, the thing
-- ARGV  value, "" removes it
-- Answers OK, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
if ARGV[1] == '' then
	redis.call('DEL', KEYS[2])
else
	redis.call('SET', KEYS[2], ARGV[1])
end
return 'OK'

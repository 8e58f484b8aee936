-- Changes fields of an account.
-- KEYS  account
-- ARGV  field, value, ...
-- Answers OK, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
for i = 1, #ARGV, 2 do
	redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 'OK'

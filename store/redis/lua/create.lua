-- Makes an account, alone or as one of a batch.
-- KEYS  account
-- ARGV  batch, "" = alone; field, value, ...
-- Answers OK, EXISTS, or BATCH:token of another batch that has the account.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if has[1] then
	if not has[2] then
		return 'EXISTS'
	end
	if has[2] ~= ARGV[1] then
		return 'BATCH:' .. has[2]
	end
	return 'OK' -- asked for twice
end
for i = 2, #ARGV, 2 do
	redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
if ARGV[1] ~= '' then
	redis.call('HSET', KEYS[1], 'batch', ARGV[1])
end
return 'OK'

-- Deletes an account and all it owns.
-- KEYS  account, and the keys of what it owns
-- Answers OK:id, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
for i = 1, #KEYS do
	redis.call('UNLINK', KEYS[i])
end
return 'OK:' .. has[1]

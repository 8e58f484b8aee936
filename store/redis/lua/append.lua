-- Keeps a message unless too many are kept.
-- KEYS  account, offline
-- ARGV  limit, stamp, XML
-- Answers OK, NONE, FULL, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then
	return 'FULL'
end
local id = redis.call('HINCRBY', KEYS[1], 'mid', 1)
redis.call('XADD', KEYS[2], string.format('%.0f', id), ARGV[2], ARGV[3])
return 'OK'

-- Writes a record of the cluster unless it was changed meanwhile.
-- KEYS  epoch, records
-- ARGV  key, version the caller has seen, the next one, data, 1 raises the epoch
-- Answers OK, CONFLICT.
local has = redis.call('HGET', KEYS[2], ARGV[1])
local version = has and string.match(has, '^%d+') or '0'
if version ~= ARGV[2] then
	return 'CONFLICT'
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. '\n' .. ARGV[4])
if ARGV[5] == '1' then
	redis.call('INCR', KEYS[1])
end
return 'OK'

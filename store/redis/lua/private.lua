-- Replaces private XML of an account, all of it or none.
-- KEYS  account, private
-- ARGV  limit; name, XML ("" removes it), ...
-- Answers OK, FULL, NONE, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
local before = redis.call('HLEN', KEYS[2])
local after, there = before, {}
for i = 2, #ARGV, 2 do
	local name, keep = ARGV[i], ARGV[i + 1] ~= ''
	if there[name] == nil then
		there[name] = redis.call('HEXISTS', KEYS[2], name) == 1
	end
	if keep ~= there[name] then
		after = after + (keep and 1 or -1)
	end
	there[name] = keep
end
if after > tonumber(ARGV[1]) and after > before then
	return 'FULL'
end
for i = 2, #ARGV, 2 do
	if ARGV[i + 1] == '' then
		redis.call('HDEL', KEYS[2], ARGV[i])
	else
		redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
	end
end
return 'OK'

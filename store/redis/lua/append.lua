-- Keeps a message, once, unless too many are kept.
-- KEYS  account, offline, origins
-- ARGV  limit, stamp, XML, sender, "" = no origin, its request, place in it, lifetime in ms
-- Answers OK, NONE, FULL, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
if ARGV[4] ~= '' then
	local last = redis.call('HGET', KEYS[3], ARGV[4])
	if last then
		local request, place = string.match(last, '^(%d+) (%d+)$')
		request, place = tonumber(request), tonumber(place)
		local r, p = tonumber(ARGV[5]), tonumber(ARGV[6])
		if r < request or (r == request and p <= place) then
			return 'OK'
		end
	end
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then
	return 'FULL'
end
if ARGV[4] ~= '' then
	redis.call('HSET', KEYS[3], ARGV[4], ARGV[5] .. ' ' .. ARGV[6])
	redis.call('PEXPIRE', KEYS[3], ARGV[7])
end
local id = redis.call('HINCRBY', KEYS[1], 'mid', 1)
redis.call('XADD', KEYS[2], string.format('%.0f', id), ARGV[2], ARGV[3])
return 'OK'

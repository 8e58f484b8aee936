-- Enters a binding under a generation above all before. Asked for again by the
-- same session, as when the answer was lost, it answers the same as before.
-- KEYS: bindings of the account, whom they replaced
-- ARGV: resource, binding, its session, channel, account, lifetime in ms
-- Returns {generation, binding replaced or ''}.

-- The session of a kept binding: generation, space, version, priority, time,
-- length of the session id, the id. Bytes of the time are above 127 but for the last.
local function session(b)
	local at = string.find(b, ' ', 1, true) + 3
	while (string.byte(b, at) or 0) > 127 do at = at + 1 end
	return string.sub(b, at + 2, at + 1 + (string.byte(b, at + 1) or 0))
end

local now = redis.call('TIME')
local old = redis.call('HGET', KEYS[1], ARGV[1])
local replaced = ''
local gen
if old and session(old) == ARGV[3] then
	gen = string.match(old, '^%d+')
	local before = redis.call('HGET', KEYS[2], ARGV[1])
	if before and string.match(before, '^%d+') == gen then
		replaced = string.sub(before, #gen + 2)
	end
else
	-- Not below the time: the last one may be forgotten.
	local last = tonumber(redis.call('HGET', KEYS[1], '') or '0')
	gen = string.format('%.0f', math.max(last + 1, now[1] * 1000 + math.floor(now[2] / 1000)))
	redis.call('HSET', KEYS[1], '', gen)
	if old then
		replaced = old
		redis.call('HSET', KEYS[2], ARGV[1], gen .. ' ' .. old)
		redis.call('PEXPIRE', KEYS[2], ARGV[6])
	end
end
redis.call('HSET', KEYS[1], ARGV[1], gen .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return {gen, replaced}

-- Writes changes of a roster as one new version.
-- KEYS  account, roster, removed
-- ARGV  version the caller has seen, the next one, removals to remember,
--       channel, owner, number of contacts to delete, contact, ..., contact, item, ...
-- Answers OK, NONE, CONFLICT, BATCH:token.
local has = redis.call('HMGET', KEYS[1], 'id', 'batch')
if not has[1] then
	return 'NONE'
end
if has[2] then
	return 'BATCH:' .. has[2]
end
local state = redis.call('HGET', KEYS[2], '')
local now, floor
if state then
	now, floor = string.match(state, '^(%d+) (%d+)$')
else
	-- A roster never changed; see the Go code's base.
	now = string.format('%.0f', tonumber(has[1]) * 1048576)
	floor = now
end
if now ~= ARGV[1] then
	return 'CONFLICT'
end
local ver, keep, dels = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[6])
for i = 7, 6 + dels do
	if redis.call('HDEL', KEYS[2], ARGV[i]) == 1 then
		redis.call('ZADD', KEYS[3], ver, ARGV[i])
	end
end
for i = 7 + dels, #ARGV, 2 do
	redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
	redis.call('ZREM', KEYS[3], ARGV[i])
end
local removed = redis.call('ZCARD', KEYS[3])
if removed > keep then
	-- The history then reaches back to the newest version forgotten.
	local cut = redis.call('ZRANGE', KEYS[3], removed - keep - 1, removed - keep - 1, 'WITHSCORES')[2]
	redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', cut)
	if tonumber(cut) > tonumber(floor) then
		floor = string.format('%.0f', tonumber(cut))
	end
end
redis.call('HSET', KEYS[2], '', ver .. ' ' .. floor)
redis.pcall('PUBLISH', ARGV[4], ARGV[5] .. ' ' .. ver) -- a node that stands alone may lack the right
return 'OK'

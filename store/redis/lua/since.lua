-- Reads what has changed in a roster after a version.
-- KEYS  account, roster, removed
-- ARGV  the version
-- Answers NONE, BATCH:token, or an array: present version and, if the history
-- reaches back so far, contacts with their items in turn, removed contacts.
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
	now = string.format('%.0f', tonumber(has[1]) * 1048576)
	floor = now
end
local ver = tonumber(ARGV[1])
if ver < tonumber(floor) or ver > tonumber(now) then
	return {now}
end
local changed = {}
if ver < tonumber(now) then
	local all = redis.call('HGETALL', KEYS[2])
	for i = 1, #all, 2 do
		-- An item begins with its version.
		if all[i] ~= '' and tonumber(string.match(all[i + 1], '^%d+')) > ver then
			changed[#changed + 1] = all[i]
			changed[#changed + 1] = all[i + 1]
		end
	end
end
return {now, changed, redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[1], '+inf')}

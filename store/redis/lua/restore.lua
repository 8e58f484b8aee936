-- Writes an account with all it owns, in place of what is there.
-- KEYS  account, roster, removed, offline, private, vcard, seen
-- ARGV  for each key the number of its values, and them: fields and values of
--       the hashes, contacts and versions, stamps and XML, one value or none
-- Answers OK.
for i = 1, #KEYS do
	redis.call('DEL', KEYS[i])
end
local at = 1
local function each(step, write)
	local n = tonumber(ARGV[at])
	for i = at + 1, at + n, step do
		write(ARGV[i], ARGV[i + 1])
	end
	at = at + n + 1
end
local function field(key)
	return function(name, value) redis.call('HSET', key, name, value) end
end
each(2, field(KEYS[1]))
each(2, field(KEYS[2]))
each(2, function(contact, ver) redis.call('ZADD', KEYS[3], ver, contact) end)
each(2, function(stamp, xml)
	local id = redis.call('HINCRBY', KEYS[1], 'mid', 1)
	redis.call('XADD', KEYS[4], string.format('%.0f', id), stamp, xml)
end)
each(2, field(KEYS[5]))
each(1, function(xml) redis.call('SET', KEYS[6], xml) end)
each(1, function(seen) redis.call('SET', KEYS[7], seen) end)
return 'OK'

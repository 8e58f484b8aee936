-- Draws ids for new accounts.
-- KEYS  ids
-- ARGV  how many; number that they have to be above
-- Answers the last of them.
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[2]) then
	redis.call('SET', KEYS[1], ARGV[2])
end
return redis.call('INCRBY', KEYS[1], ARGV[1])

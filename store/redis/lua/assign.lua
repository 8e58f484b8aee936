-- Writes homes of users under a new epoch.
-- KEYS  epoch, assigned, changes
-- ARGV  user, home, ...
-- Answers the epoch.
local epoch = redis.call('INCR', KEYS[1])
for i = 1, #ARGV, 2 do
	redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
	redis.call('ZADD', KEYS[3], epoch, ARGV[i])
end
return epoch

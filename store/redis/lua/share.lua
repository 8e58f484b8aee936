-- Writes all that the nodes of a cluster share, in place of what is there.
-- KEYS  epoch, records, assigned, changes
-- ARGV  epoch; number of records, key, record, ..., user, epoch, home, ...
-- Answers OK.
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('SET', KEYS[1], ARGV[1])
local last = 2 + 2 * ARGV[2]
for i = 3, last, 2 do
	redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
for i = last + 1, #ARGV, 3 do
	redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
	redis.call('ZADD', KEYS[4], ARGV[i + 1], ARGV[i])
end
return 'OK'

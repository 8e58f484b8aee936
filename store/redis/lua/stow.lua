-- Writes sessions down; one that is there is replaced in its place.
-- KEYS  order, data
-- ARGV  lifetime in seconds; sid, session, ...
-- Answers OK.
for i = 2, #ARGV, 2 do
	if redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
		redis.call('RPUSH', KEYS[1], ARGV[i])
	end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 'OK'

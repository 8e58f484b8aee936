-- Decides a batch: committed makes all its accounts visible at once.
-- KEYS  batch
-- ARGV  "committed", or "failed" unless it was committed before
-- Answers what it is now: committed, failed.
local state = redis.call('GET', KEYS[1])
if state == 'pending' and ARGV[1] == 'committed' then
	redis.call('SET', KEYS[1], 'committed') -- for good, without the lease
	return 'committed'
end
if state == 'committed' then
	return state
end
redis.call('DEL', KEYS[1])
return 'failed'

-- Removes messages; the key goes with the last one, ids are the account's.
-- KEYS  offline
-- ARGV  lowest id that stays
-- Answers OK.
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
if redis.call('XLEN', KEYS[1]) == 0 then
	redis.call('DEL', KEYS[1])
end
return 'OK'

-- Removes what a user was before a time.
-- KEYS  changes
-- ARGV  time; 1 = the last before that, too, which says what the user has been since
-- Answers OK.
local old = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[1])
if ARGV[2] ~= '1' then
	old = old - 1
end
if old > 0 then
	redis.call('ZREMRANGEBYRANK', KEYS[1], 0, old - 1)
end
return 'OK'

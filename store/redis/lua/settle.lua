-- Ends an account's being part of a batch.
-- KEYS  account
-- ARGV  batch; "keep", or "drop" if the batch has failed
-- Answers OK, also if the account is not of the batch (any more).
if redis.call('HGET', KEYS[1], 'batch') == ARGV[1] then
	if ARGV[2] == 'keep' then
		redis.call('HDEL', KEYS[1], 'batch')
	else
		redis.call('DEL', KEYS[1]) -- it owns nothing yet
	end
end
return 'OK'

-- Keeps notes, but for those of which a later version is kept that still counts.
-- KEYS: notes, their versions; ARGV: now and how long to keep all, in milliseconds, then for each note its
-- name, text, version, and until when no earlier version may replace it, in milliseconds
for i = 3, #ARGV, 4 do
	local kept = redis.call('HGET', KEYS[2], ARGV[i])
	local version, till = string.match(kept or '', '^(%d+) (%d+)$')
	if not version or tonumber(till) <= tonumber(ARGV[1]) or tonumber(version) <= tonumber(ARGV[i + 2]) then
		redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
		redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2] .. ' ' .. ARGV[i + 3])
	end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1

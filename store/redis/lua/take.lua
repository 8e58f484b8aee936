-- Takes all sessions, so that nobody else gets them.
-- KEYS  order, data
-- Answers sid, session, ... in the order they were written.
local all = {}
for _, sid in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
	all[#all + 1] = sid
	all[#all + 1] = redis.call('HGET', KEYS[2], sid)
end
redis.call('UNLINK', KEYS[1], KEYS[2])
return all

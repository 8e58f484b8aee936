-- Puts a frame into the mailbox of a session, once.
-- KEYS: session, mailbox, what was posted before
-- ARGV: frame, sender, its request, place in it, own node, channel prefix or '' to ring no bell, sid, room, lifetime in ms
-- Returns {outcome, number, node}: 0 gone, 1 accepted, 2 known already, 3 full; negative for a session of another node.
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner then return {0, 0, ''} end
local node = string.match(owner, '^(%S+)')
local sign = 1
if node ~= ARGV[5] then sign = -1 end
if ARGV[3] ~= '0' then
	local last = redis.call('HGET', KEYS[3], ARGV[2])
	if last then
		local request, place = string.match(last, '^(%d+) (%d+)$')
		request, place = tonumber(request), tonumber(place)
		local r, p = tonumber(ARGV[3]), tonumber(ARGV[4])
		if r < request or (r == request and p <= place) then return {2 * sign, 0, node} end
	end
end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[8]) then return {3 * sign, 0, node} end
if ARGV[3] ~= '0' then
	redis.call('HSET', KEYS[3], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
	redis.call('PEXPIRE', KEYS[3], ARGV[9])
end
local number = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
if sign < 0 and ARGV[6] ~= '' then
	redis.call('PUBLISH', ARGV[6] .. node, ARGV[7] .. ' ' .. string.format('%.0f', number) .. ' ' .. ARGV[1])
end
return {sign, number, node}

-- Reads a page of homes in the order of epochs and, within one, of users.
-- KEYS  assigned, changes
-- ARGV  epoch and user behind which it begins, "" = behind all of the epoch;
--       how many at most
-- Answers user, epoch, home, ...

-- Whether a is behind b in the order of a sorted set; Lua's own is the locale's.
local function behind(a, b)
	for i = 1, math.min(#a, #b) do
		local x, y = string.byte(a, i), string.byte(b, i)
		if x ~= y then
			return x > y
		end
	end
	return #a > #b
end

local first = redis.call('ZCOUNT', KEYS[2], '-inf', ARGV[1])
if ARGV[2] ~= '' then
	-- The user may have a later epoch by now; look for the first one behind.
	local low, high = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[1]), first
	while low < high do
		local middle = math.floor((low + high) / 2)
		if behind(redis.call('ZRANGE', KEYS[2], middle, middle)[1], ARGV[2]) then
			high = middle
		else
			low = middle + 1
		end
	end
	first = low
end
local page = redis.call('ZRANGE', KEYS[2], first, first + ARGV[3] - 1, 'WITHSCORES')
local all = {}
for i = 1, #page, 2 do
	all[#all + 1] = page[i]
	all[#all + 1] = page[i + 1]
	all[#all + 1] = redis.call('HGET', KEYS[1], page[i])
end
return all

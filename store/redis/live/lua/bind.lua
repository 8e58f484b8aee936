-- Enters a binding; the generation grows with each.
-- KEYS: bindings of the account; ARGV: resource, binding, channel, account, lifetime in ms
-- Returns {generation, binding replaced or ''}.
local gen = redis.call('HINCRBY', KEYS[1], '', 1)
local old = redis.call('HGET', KEYS[1], ARGV[1]) or ''
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', gen) .. ' ' .. ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return {gen, old}

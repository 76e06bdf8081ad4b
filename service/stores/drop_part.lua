-- Take one part away. Nothing here needs memory.
--
-- KEYS  head, records, blobs, parts (four hashes of one session); ends, sizes, gone
-- ARGV  token, now, expected version, name, descriptor of the one that is meant
-- Answers {token, outcome}.

local head_key, parts_key = KEYS[1], KEYS[4]
local token, now, expected = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local name, descriptor = ARGV[4], ARGV[5]

local head = redis.call('HMGET', head_key, 'version', 'meta', 'expires')
if not head[1] then return {token, 'missing'} end
if not head[2] then return {token, 'deleted'} end
if tonumber(head[3]) <= now then return {token, 'expired'} end
if tonumber(head[1]) ~= expected then return {token, 'moved'} end

local there = redis.call('HGET', parts_key, name)
if not there or string.sub(there, 1, #descriptor + 1) ~= descriptor .. '|' then
  return {token, 'absent'}
end
local id, count, size = string.match(there, '^([^:]+):(%d+):%d+|[^|]*|%d+|(%d+)|')
redis.call('HDEL', parts_key, name)
redis.call('HINCRBY', head_key, 'part_bytes', -tonumber(size))
grow(head_key, -tonumber(size))
for piece = 0, tonumber(count) - 1 do
  redis.call('UNLINK', head_key .. ':' .. id .. ':' .. piece)
end
return {token, 'applied'}

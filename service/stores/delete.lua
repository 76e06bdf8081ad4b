-- Remove a live session and leave its head, without a document, as a tombstone.
-- Nothing here needs memory: deleting is the way out when there is none.
--
-- KEYS  head, records, blobs, parts (four hashes of one session); ends, sizes, gone
-- ARGV  token, now, expected version (0: any), tombstone ttl (ms)
-- Answers {token, outcome}.

local head_key, records_key, blobs_key = KEYS[1], KEYS[2], KEYS[3]
local parts_key = KEYS[4]
local token, now, expected = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local head = redis.call('HMGET', head_key, 'version', 'meta', 'expires')
if not head[1] then return {token, 'missing'} end
if not head[2] then return {token, 'deleted'} end
if tonumber(head[3]) <= now then return {token, 'expired'} end
if expected ~= 0 and tonumber(head[1]) ~= expected then return {token, 'conflict'} end

for _, key in ipairs({blobs_key, parts_key}) do
  for _, descriptor in ipairs(redis.call('HVALS', key)) do
    local id, count = string.match(descriptor, '^([^:]+):(%d+):%d+')
    for piece = 0, tonumber(count) - 1 do
      redis.call('UNLINK', head_key .. ':' .. id .. ':' .. piece)
    end
  end
end
redis.call('UNLINK', records_key, blobs_key, parts_key)
redis.call('HDEL', head_key, 'meta', 'token', 'arrivals', 'part_bytes')
forget(head_key, now)
thin_out(now)
redis.call('PEXPIRE', head_key, ARGV[4])
return {token, 'applied'}

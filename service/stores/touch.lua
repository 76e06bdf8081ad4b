-- Move the expiry of a live session, and of everything that belongs to it, further
-- away. It never comes nearer: whoever read an older lifetime may be late.
--
-- KEYS  head, records, blobs, parts (four hashes of one session); ends, sizes, gone
-- ARGV  token, now, expires, head ttl, data ttl (ms)
-- Answers {token, outcome}.

local head_key, records_key, blobs_key = KEYS[1], KEYS[2], KEYS[3]
local parts_key = KEYS[4]
local token, now, expires = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local head_ttl, data_ttl = ARGV[4], ARGV[5]

local head = redis.call('HMGET', head_key, 'version', 'meta', 'expires')
if not head[1] then return {token, 'missing'} end
if not head[2] then return {token, 'deleted'} end
if tonumber(head[3]) <= now then return {token, 'expired'} end
if tonumber(head[3]) >= tonumber(expires) then return {token, 'applied'} end

redis.call('HSET', head_key, 'expires', expires)
if redis.call('HEXISTS', sizes_key, head_key) == 1 then
  enter(head_key, redis.call('HGET', sizes_key, head_key), expires, now, head_ttl)
end
redis.call('PEXPIRE', head_key, head_ttl)
redis.call('PEXPIRE', records_key, data_ttl)
redis.call('PEXPIRE', blobs_key, data_ttl)
redis.call('PEXPIRE', parts_key, data_ttl)
for _, key in ipairs({blobs_key, parts_key}) do
  for _, descriptor in ipairs(redis.call('HVALS', key)) do
    local id, count = string.match(descriptor, '^([^:]+):(%d+):%d+')
    for piece = 0, tonumber(count) - 1 do
      redis.call('PEXPIRE', head_key .. ':' .. id .. ':' .. piece, data_ttl)
    end
  end
end
return {token, 'applied'}

-- Make a live session of all that was staged, at once.
--
-- KEYS  head, records, blobs, parts, ends, sizes, gone; staged records, staged blobs
-- ARGV  token, now, version, meta, expires, arrivals, head ttl, data ttl (ms),
--       number of staged records, number of staged blobs
-- Answers {token, outcome}.

local head_key, records_key, blobs_key = KEYS[1], KEYS[2], KEYS[3]
local parts_key, staged_records, staged_blobs = KEYS[4], KEYS[8], KEYS[9]
local token, now, version, meta = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local expires, arrivals, head_ttl, data_ttl = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local function pieces(descriptor)
  local keys = {}
  local id, count = string.match(descriptor, '^([^:]+):(%d+):%d+')
  for piece = 0, tonumber(count) - 1 do
    keys[#keys + 1] = head_key .. ':' .. id .. ':' .. piece
  end
  return keys
end

local head = redis.call('HMGET', head_key, 'token', 'meta', 'expires')
if head[1] == token then return {token, 'already'} end
if head[2] and tonumber(head[3]) > now then return {token, 'conflict'} end
if redis.call('HLEN', staged_records) ~= tonumber(ARGV[9])
  or redis.call('HLEN', staged_blobs) ~= tonumber(ARGV[10]) then
  return {token, 'lost'}
end
local staged = redis.call('HVALS', staged_blobs)
for _, descriptor in ipairs(staged) do
  local keys = pieces(descriptor)
  if redis.call('EXISTS', unpack(keys)) ~= #keys then return {token, 'lost'} end
end

-- What an expired session of this name has left.
local old = {}
for _, hash in ipairs({blobs_key, parts_key}) do
  for _, descriptor in ipairs(redis.call('HVALS', hash)) do
    for _, key in ipairs(pieces(descriptor)) do old[#old + 1] = key end
  end
end

-- As in a commit, the first write tells whether there is memory for the others.
local set = redis.pcall('HSET', head_key, 'version', version, 'token', token,
  'meta', meta, 'expires', expires, 'arrivals', arrivals)
if type(set) == 'table' and set.err then return set end
redis.call('HDEL', head_key, 'part_bytes')
redis.call('UNLINK', records_key, blobs_key, parts_key)
for _, key in ipairs(old) do redis.call('UNLINK', key) end
if tonumber(ARGV[9]) > 0 then redis.call('RENAME', staged_records, records_key) end
if tonumber(ARGV[10]) > 0 then redis.call('RENAME', staged_blobs, blobs_key) end

local bytes = measured(head_key, records_key, blobs_key)
enter(head_key, bytes, expires, now, head_ttl)
redis.call('PEXPIRE', head_key, head_ttl)
redis.call('PEXPIRE', records_key, data_ttl)
redis.call('PEXPIRE', blobs_key, data_ttl)
for _, descriptor in ipairs(staged) do
  for _, key in ipairs(pieces(descriptor)) do redis.call('PEXPIRE', key, data_ttl) end
end
return {token, 'applied'}

-- Compare and set: apply all of a change, or nothing of it.
--
-- KEYS  head, records, blobs, parts (four hashes of one session); ends, sizes, gone
-- ARGV  expected version, token, meta, now, expires, head ttl, data ttl (ms),
--       number of new blobs, then per blob: name, descriptor "id:pieces:bytes"
--       number of dropped blobs, then their names
--       number of records, then per record: name, frame
--       1 to drop all parts, else 0
--       most sessions and most bytes that the tenant may keep, -1 for no limit
--       number of parts that have to be there still, then per part: name, mark
--
-- Answers {token, outcome}; the token proves that the answer belongs to the question.
-- The pieces of new blobs are there already, sent before (up to 1 MiB in the same round
-- trip), under names that only this change knows.

local head_key, records_key, blobs_key = KEYS[1], KEYS[2], KEYS[3]
local parts_key = KEYS[4]
local expected, token, meta = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local now, expires = tonumber(ARGV[4]), ARGV[5]
local head_ttl, data_ttl = ARGV[6], ARGV[7]

local at = 8
local function take(width)
  local items = {}
  local count = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, count * width do
    items[#items + 1] = ARGV[at]
    at = at + 1
  end
  return items
end
local new_blobs, dropped, new_records = take(2), take(1), take(2)
local drop_parts = ARGV[at] == '1'
local most_sessions, most_bytes = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
at = at + 3
local made_of = take(2)

local function pieces(descriptor)
  local keys = {}
  local id, count = string.match(descriptor, '^([^:]+):(%d+):%d+')
  for piece = 0, tonumber(count) - 1 do
    keys[#keys + 1] = head_key .. ':' .. id .. ':' .. piece
  end
  return keys
end

-- Take back what was brought for a change that is not applied. A descriptor that is
-- in use proves that an earlier try of this very change was applied after all.
local function refuse(outcome)
  for i = 1, #new_blobs, 2 do
    if redis.call('HGET', blobs_key, new_blobs[i]) ~= new_blobs[i + 1] then
      redis.call('UNLINK', unpack(pieces(new_blobs[i + 1])))
    end
  end
  return {token, outcome}
end

local head = redis.call('HMGET', head_key, 'version', 'token', 'meta', 'expires')
local version = tonumber(head[1] or 0)
if head[2] == token then return refuse('already') end
if expected == 0 then
  if version ~= 0 then return refuse('conflict') end
else
  if version == 0 then return refuse('missing') end
  if not head[3] then return refuse('deleted') end
  if tonumber(head[4]) <= now then return refuse('expired') end
  if version ~= expected then return refuse('conflict') end
  for i = 1, #made_of, 2 do
    local there = redis.call('HGET', parts_key, made_of[i]) or ''
    if string.match(there, '^[^|]*|([^|]*)|') ~= made_of[i + 1] then
      return refuse('parted')
    end
  end
end

for i = 2, #new_blobs, 2 do
  local keys = pieces(new_blobs[i])
  if redis.call('EXISTS', unpack(keys)) ~= #keys then return refuse('lost') end
end

-- How the session grows, and which pieces it has no more use for.
local grown = #meta - #(head[3] or '')
for i = 1, #new_records, 2 do
  local before = redis.call('HSTRLEN', records_key, new_records[i])
  grown = grown + #new_records[i + 1] - before
end
local old = {}
local function retire(name)
  local descriptor = redis.call('HGET', blobs_key, name)
  if descriptor then
    for _, key in ipairs(pieces(descriptor)) do old[#old + 1] = key end
    grown = grown - tonumber(string.match(descriptor, ':(%d+)$'))
  end
end
for i = 1, #new_blobs, 2 do
  retire(new_blobs[i])
  grown = grown + tonumber(string.match(new_blobs[i + 1], ':(%d+)$'))
end
for _, name in ipairs(dropped) do retire(name) end
if drop_parts then
  for _, listed in ipairs(redis.call('HVALS', parts_key)) do
    for _, key in ipairs(pieces(listed)) do old[#old + 1] = key end
  end
  grown = grown - tonumber(redis.call('HGET', head_key, 'part_bytes') or 0)
end

local before = tonumber(redis.call('HGET', sizes_key, head_key))
  or measured(head_key, records_key, blobs_key)
local room
if most_sessions >= 0 or most_bytes >= 0 then
  local sessions, bytes = kept(now)
  local function over(what, limit, used)
    refuse('over')
    return {token, 'over', what, limit, used}
  end
  if expected == 0 and most_sessions >= 0 and sessions >= most_sessions then
    return over('sessions', most_sessions, sessions)
  end
  if most_bytes >= 0 and grown > 0 and bytes + grown > most_bytes then
    return over('bytes', most_bytes, bytes)
  end
  if most_bytes >= 0 and grown > 0 then room = most_bytes - bytes - grown end
end

-- Whether there is memory is decided once for the whole script. So the first write is
-- one that needs some: when it goes through all others do, and until then nothing has
-- changed.
local set = redis.pcall('HSET', head_key, 'version', version + 1, 'token', token,
  'meta', meta, 'expires', expires)
if type(set) == 'table' and set.err then
  refuse('full')
  return set
end
for i = 1, #new_records, 2 do
  redis.call('HSET', records_key, new_records[i], new_records[i + 1])
end
for i = 1, #new_blobs, 2 do
  redis.call('HSET', blobs_key, new_blobs[i], new_blobs[i + 1])
end
for _, name in ipairs(dropped) do redis.call('HDEL', blobs_key, name) end
if drop_parts then
  redis.call('UNLINK', parts_key)
  redis.call('HDEL', head_key, 'part_bytes')
end
for _, key in ipairs(old) do redis.call('UNLINK', key) end
if room then purge(now, room) end
enter(head_key, before + grown, expires, now, head_ttl, most_bytes < 0)

redis.call('PEXPIRE', head_key, head_ttl)
redis.call('PEXPIRE', records_key, data_ttl)
redis.call('PEXPIRE', blobs_key, data_ttl)
redis.call('PEXPIRE', parts_key, data_ttl)
for _, hash in ipairs({blobs_key, parts_key}) do
  for _, descriptor in ipairs(redis.call('HVALS', hash)) do
    for _, key in ipairs(pieces(descriptor)) do
      redis.call('PEXPIRE', key, data_ttl)
    end
  end
end
return {token, 'applied'}

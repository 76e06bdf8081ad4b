-- Keep a part beside a session: the first of a name stays, and no version is counted.
--
-- KEYS  head, records, blobs, parts (four hashes of one session); ends, sizes, gone
-- ARGV  token, now, expected version, name, descriptor "id:pieces:bytes", mark, info,
--       size, most parts, most bytes, grace (ms) that data outlive their session,
--       most bytes that the tenant may keep, -1 for no limit
--
-- Answers {token, outcome}. The pieces are there already, under names of this try.
-- In the hash a part is "descriptor|mark|arrival|size|info".

local head_key, parts_key = KEYS[1], KEYS[4]
local token, now, expected = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local name, descriptor, mark, info = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local size, most, most_bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local grace, quota = tonumber(ARGV[11]), tonumber(ARGV[12])

local keys = {}
local id, count = string.match(descriptor, '^([^:]+):(%d+):%d+$')
for piece = 0, tonumber(count) - 1 do
  keys[#keys + 1] = head_key .. ':' .. id .. ':' .. piece
end

local there = redis.call('HGET', parts_key, name)
-- An earlier try of this very call has gone in, and only its reply was lost.
if there and string.sub(there, 1, #descriptor + 1) == descriptor .. '|' then
  return {token, 'added'}
end
local function refuse(outcome)
  redis.call('UNLINK', unpack(keys))
  return {token, outcome}
end

local head = redis.call('HMGET', head_key, 'version', 'meta', 'expires', 'arrivals',
  'part_bytes')
if not head[1] then return refuse('missing') end
if not head[2] then return refuse('deleted') end
if tonumber(head[3]) <= now then return refuse('expired') end
if tonumber(head[1]) ~= expected then return refuse('moved') end
if there then
  local known = string.match(there, '^[^|]*|([^|]*)|')
  if known == mark then return refuse('same') end
  return refuse('other')
end
local used = tonumber(head[5] or 0)
if redis.call('HLEN', parts_key) >= most or used + size > most_bytes then
  return refuse('overfull')
end
local room
if quota >= 0 and size > 0 then
  local _, bytes = kept(now)
  if bytes + size > quota then
    refuse('over')
    return {token, 'over', 'bytes', quota, bytes}
  end
  room = quota - bytes - size
end
if redis.call('EXISTS', unpack(keys)) ~= #keys then return refuse('lost') end

-- The first write decides whether there is memory for all of them.
local arrival = tonumber(head[4] or 0) + 1
local set = redis.pcall('HSET', parts_key, name,
  table.concat({descriptor, mark, arrival, size, info}, '|'))
if type(set) == 'table' and set.err then
  refuse('full')
  return set
end
redis.call('HSET', head_key, 'arrivals', arrival, 'part_bytes', used + size)
grow(head_key, size)
if room then purge(now, room) end
local data_ttl = math.floor((tonumber(head[3]) - now) * 1000) + grace
redis.call('PEXPIRE', parts_key, data_ttl)
for _, key in ipairs(keys) do redis.call('PEXPIRE', key, data_ttl) end
return {token, 'added'}

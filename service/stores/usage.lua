-- What a tenant keeps in live sessions; comes before every script that changes it.
--
-- KEYS[5]  sorted set: head key of a session -> when it expires
-- KEYS[6]  hash: head key of a session -> its bytes, as stored; and their sum under ''
--
-- These are accounts of what the sessions' own keys hold. A session that is missing in
-- them is measured and entered by its next commit.

local ends_key, sizes_key = KEYS[5], KEYS[6]

local function measured(head_key, records_key, blobs_key)
  local bytes = #(redis.call('HGET', head_key, 'meta') or '')
  for _, frame in ipairs(redis.call('HVALS', records_key)) do
    bytes = bytes + #frame
  end
  for _, descriptor in ipairs(redis.call('HVALS', blobs_key)) do
    bytes = bytes + tonumber(string.match(descriptor, ':(%d+)$'))
  end
  return bytes
end

local function forget(head_key)
  local bytes = tonumber(redis.call('HGET', sizes_key, head_key) or 0)
  redis.call('ZREM', ends_key, head_key)
  redis.call('HDEL', sizes_key, head_key)
  redis.call('HINCRBY', sizes_key, '', -bytes)
end

-- Enter a session, and forget some that have expired since. The first write of a
-- script must not be this one: it would not tell when memory is short.
local function enter(head_key, bytes, expires, now, ttl)
  local before = tonumber(redis.call('HGET', sizes_key, head_key) or 0)
  redis.call('HSET', sizes_key, head_key, bytes)
  redis.call('HINCRBY', sizes_key, '', bytes - before)
  redis.call('ZADD', ends_key, expires, head_key)
  local over = redis.call('ZRANGEBYSCORE', ends_key, '-inf', now, 'LIMIT', 0, 100)
  for _, gone in ipairs(over) do forget(gone) end
  for _, key in ipairs({ends_key, sizes_key}) do
    if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
  end
end

-- Sessions and bytes that are kept now.
local function kept(now)
  local bytes = tonumber(redis.call('HGET', sizes_key, '') or 0)
  local over = redis.call('ZRANGEBYSCORE', ends_key, '-inf', now)
  for _, gone in ipairs(over) do
    bytes = bytes - tonumber(redis.call('HGET', sizes_key, gone) or 0)
  end
  return redis.call('ZCARD', ends_key) - #over, bytes
end

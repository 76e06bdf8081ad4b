-- What a tenant keeps in live sessions; comes before every script that changes it.
--
-- KEYS[5]  sorted set: head key of a session -> when it expires
-- KEYS[6]  hash: head key of a session -> its bytes, as stored; and their sum under ''
-- KEYS[7]  sorted set: head key of a deleted or expired session -> when it was seen to be
--
-- MOST_TOMBSTONES is set before this text: so many of the latter are remembered.
--
-- Expired sessions stay in the accounts as long as their data stay in the memory.
-- These are accounts of what the sessions' own keys hold. A session that is missing in
-- them is measured and entered by its next commit.

local ends_key, sizes_key, gone_key = KEYS[5], KEYS[6], KEYS[7]

local GRACE_SECONDS = 3600
local TOMBSTONE_SECONDS = 86400
-- So many at a time, so that no script takes long.
local MOST_AT_ONCE = 100
-- What is over is looked through again and again.
local MOST_OVER = 1000

local function measured(head_key, records_key, blobs_key)
  local head = redis.call('HMGET', head_key, 'meta', 'part_bytes')
  local bytes = #(head[1] or '') + tonumber(head[2] or 0)
  for _, frame in ipairs(redis.call('HVALS', records_key)) do
    bytes = bytes + #frame
  end
  for _, descriptor in ipairs(redis.call('HVALS', blobs_key)) do
    bytes = bytes + tonumber(string.match(descriptor, ':(%d+)$'))
  end
  return bytes
end

-- Take a session out of the accounts, and put it among the tombstones. Heads expire by
-- themselves; of a tenant that has very many, the oldest go before.
local function forget(head_key, now)
  local bytes = tonumber(redis.call('HGET', sizes_key, head_key) or 0)
  redis.call('ZREM', ends_key, head_key)
  redis.call('HDEL', sizes_key, head_key)
  redis.call('HINCRBY', sizes_key, '', -bytes)
  redis.call('ZADD', gone_key, now, head_key)
end

local function thin_out(now)
  local past = now - TOMBSTONE_SECONDS
  redis.call('ZREMRANGEBYSCORE', gone_key, '-inf', past)
  redis.call('EXPIRE', gone_key, TOMBSTONE_SECONDS)
  local excess = redis.call('ZCARD', gone_key) - MOST_TOMBSTONES
  if excess <= 0 then return end
  local oldest = redis.call('ZPOPMIN', gone_key, math.min(excess, MOST_AT_ONCE))
  for at = 1, #oldest, 2 do
    local head = redis.call('HMGET', oldest[at], 'meta', 'expires')
    -- One that lives was brought back, or the clock was wrong.
    if not head[1] or tonumber(head[2]) <= now - GRACE_SECONDS then
      redis.call('UNLINK', oldest[at])
    end
  end
end

-- Enter how many bytes a session has grown by, unless it is still to be measured.
local function grow(head_key, grown)
  if redis.call('HEXISTS', sizes_key, head_key) == 1 then
    redis.call('HINCRBY', sizes_key, head_key, grown)
    redis.call('HINCRBY', sizes_key, '', grown)
  end
end

-- Remove the data of expired sessions until no more than so many bytes of them stay,
-- and not too many of them.
local function purge(now, room)
  local over = redis.call('ZREVRANGEBYSCORE', ends_key, now, '-inf')
  for place, gone in ipairs(over) do
    room = room - tonumber(redis.call('HGET', sizes_key, gone) or 0)
    if room < 0 or place > MOST_OVER then
      for _, hash in ipairs({gone .. ':blobs', gone .. ':parts'}) do
        for _, descriptor in ipairs(redis.call('HVALS', hash)) do
          local id, pieces = string.match(descriptor, '^([^:]+):(%d+):%d+')
          for piece = 0, tonumber(pieces) - 1 do
            redis.call('UNLINK', gone .. ':' .. id .. ':' .. piece)
          end
        end
      end
      redis.call('UNLINK', gone .. ':records', gone .. ':blobs', gone .. ':parts')
      forget(gone, now)
    end
  end
end

-- Enter a session, and forget some whose data have gone since; with ``at_once`` those
-- that have expired, for nobody asks how much they take up. The first write of a
-- script must not be this one: it would not tell when memory is short.
local function enter(head_key, bytes, expires, now, ttl, at_once)
  local before = tonumber(redis.call('HGET', sizes_key, head_key) or 0)
  redis.call('HSET', sizes_key, head_key, bytes)
  redis.call('HINCRBY', sizes_key, '', bytes - before)
  redis.call('ZADD', ends_key, expires, head_key)
  local past = at_once and now or now - GRACE_SECONDS
  local over = redis.call('ZRANGEBYSCORE', ends_key, '-inf', past, 'LIMIT', 0,
    MOST_AT_ONCE)
  for _, gone in ipairs(over) do forget(gone, now) end
  thin_out(now)
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

-- Takes a session over: nobody who serves it so far can save it any more.
--
-- KEYS[1]   the session, a hash: g the generation, r the record
-- ARGV[1]   milliseconds for which it lives on
--
-- Returns the new generation as text, and the record; or nil if there is no such session.

local held = redis.call('HMGET', KEYS[1], 'g', 'r')
local generation = tonumber(held[1])
if not generation or not held[2] then
  return false
end

-- Above every generation that was given before, also if Redis has lost its data since and the session was stored anew
-- by somebody who served it earlier.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local given = string.format('%.0f', math.max(generation + 1, now_us))

redis.call('HSET', KEYS[1], 'g', given)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return { given, held[2] }

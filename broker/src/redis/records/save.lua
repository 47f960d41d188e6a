-- Stores the record of a session, whether it is there or not, unless somebody else has taken the session over.
--
-- KEYS[1]   the session, a hash: g the generation, r the record
-- ARGV[1]   the generation under which the caller serves the session
-- ARGV[2]   the record
-- ARGV[3]   milliseconds for which it lives on
--
-- Returns 1 if it was stored, 0 if the session was taken over.

local generation = tonumber(redis.call('HGET', KEYS[1], 'g'))
if generation and generation > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'r', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1

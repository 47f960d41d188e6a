-- Forgets a session, unless somebody else has taken it over.
--
-- KEYS[1]   the session, a hash: g the generation
-- ARGV[1]   the generation under which the caller served the session
--
-- Returns 1 if there was something to forget, 0 otherwise.

local generation = tonumber(redis.call('HGET', KEYS[1], 'g'))
if not generation or generation > tonumber(ARGV[1]) then
  return 0
end
return redis.call('DEL', KEYS[1])

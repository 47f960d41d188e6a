-- Appends entries, each at most once per idempotency key.
--
-- KEYS[1]      the stream
-- KEYS[2 ..]   the idempotency key of each entry, in the slot of the stream
-- ARGV[1]      milliseconds for which a key is remembered
-- ARGV[2]      length to which the stream is trimmed, about; or empty
-- ARGV[3]      entry ID below which the stream is trimmed, about; or empty
-- ARGV[4]      milliseconds after which the stream expires; or empty
-- ARGV[5]      1 if that expiry is due; or empty: then only a stream that is new gets it
-- ARGV[6]      1 if entries are large, so that few of them should be copied; or empty
-- ARGV[7]      1 if it is waited for what this connection has written to be safe; or empty
-- ARGV[8 ..]   for each entry: the number of its arguments, then its fields and values in turn
--
-- Returns one string for each entry: "+" if it was added or "=" if its key was known, then "<entry ID> <ordinal>",
-- which is also what the key holds.

local stream, window = KEYS[1], ARGV[1]
local known = redis.call('MGET', unpack(KEYS, 2))
local results, added, index_of = {}, {}, {}

local at = 8
for i = 1, #known do
  local count = tonumber(ARGV[at])
  local key = KEYS[i + 1]
  if known[i] then
    results[i] = '=' .. known[i]
  elseif index_of[key] then
    results[i] = index_of[key]
  else
    local id = redis.call('XADD', stream, '*', unpack(ARGV, at + 1, at + count))
    added[#added + 1] = {i, id}
    index_of[key] = i
  end
  at = at + 1 + count
end

if #added > 0 then
  local info
  if ARGV[6] == '1' then
    info = redis.call('XINFO', 'STREAM', stream, 'FULL', 'COUNT', '1')
  else
    info = redis.call('XINFO', 'STREAM', stream)
  end
  local total
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then total = info[i + 1] end
  end
  for n, entry in ipairs(added) do
    local value = entry[2] .. ' ' .. string.format('%.0f', total - (#added - n))
    redis.call('SET', KEYS[entry[1] + 1], value, 'PX', window)
    results[entry[1]] = '+' .. value
  end
  if ARGV[2] ~= '' then redis.call('XTRIM', stream, 'MAXLEN', '~', ARGV[2]) end
  if ARGV[3] ~= '' then redis.call('XTRIM', stream, 'MINID', '~', ARGV[3]) end
  if ARGV[4] ~= '' and (ARGV[5] == '1' or total == #added) then
    redis.call('PEXPIRE', stream, ARGV[4])
  end
end

if #added == 0 and ARGV[7] == '1' then
  -- WAIT waits for what its own connection has written, and entries that are known were written over another one. So
  -- something is written behind them that changes nothing.
  redis.call('PEXPIREAT', KEYS[2], redis.call('PEXPIRETIME', KEYS[2]))
end

for i = 1, #results do
  -- The same key twice in one batch: the second is a duplicate of the first.
  if type(results[i]) == 'number' then
    results[i] = '=' .. string.sub(results[results[i]], 2)
  end
end
return results

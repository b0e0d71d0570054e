-- KEYS: stream, what is remembered of this id or idempotency key
-- ARGV: the message's id, ms for which it is remembered, ms of age at which messages go, then fields and values
-- returns: the entry's id, or '' if the message was stored before
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'GET', 'PX', ARGV[2]) then return '' end
local time = redis.call('TIME')
local oldest = string.format('%.0f', time[1] * 1000 - ARGV[3])
local entry = redis.pcall('XADD', KEYS[1], 'MINID', '~', oldest, '*', unpack(ARGV, 4))
if type(entry) == 'table' then
    redis.call('DEL', KEYS[2]) -- not stored, so not known: or a repetition would be confirmed
    return entry
end
redis.call('PEXPIRE', KEYS[1], ARGV[3] + 60000)
redis.call('SPUBLISH', '{' .. KEYS[1] .. '}:wake', entry)
return entry

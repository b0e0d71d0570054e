#!lua
local function moment()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- every change has a number, is remembered for a while, and announced
local function announce(tag, key)
    local seq = redis.call('INCR', tag .. ':seq')
    local log = tag .. ':log'
    redis.call('ZADD', log, seq, key)
    local over = redis.call('ZCARD', log) - 512
    if over > 0 then redis.call('ZREMRANGEBYRANK', log, 0, over - 1) end
    redis.call('SPUBLISH', tag .. ':changes', string.format('%.0f %s', seq, key))
end

local function hash_of(tag, key)
    return tag .. ':r:' .. string.gsub(key, '%.', ':')
end

-- a record that ended by itself: nothing else may know of it any more
local function reap(tag, key, indexes)
    redis.call('ZREM', tag .. ':keys', key)
    redis.call('ZREM', tag .. ':ends', key)
    for _, name in ipairs(indexes) do redis.call('ZREM', tag .. ':due:' .. name, key) end
    announce(tag, key)
end

local function reap_some(tag, indexes, most)
    local ended = redis.call('ZRANGEBYSCORE', tag .. ':ends', '-inf', moment(), 'LIMIT', 0, most)
    for _, key in ipairs(ended) do
        if redis.call('EXISTS', hash_of(tag, key)) == 0 then reap(tag, key, indexes) end
    end
end

local function split(text)
    local words = {}
    for word in string.gmatch(text, '[^ ]+') do words[#words + 1] = word end
    return words
end

-- KEYS: record, mark of this write
-- ARGV: tag, key, names of the indexes, kind (put, set), life (-1: keep, 0: none, else ms), ms the mark is kept,
--       most fields, most bytes, number of expected, number of changes,
--       then for each expected: field, whether it must be there, value; for each change: field, whether to set, value
-- returns: 1 applied, 0 not as expected, {'fields', n} or {'bytes', n} too much
local record, mark = KEYS[1], KEYS[2]
local tag, key, indexes, kind, life = ARGV[1], ARGV[2], split(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local window = ARGV[6]
-- written in any case: a WAIT on this connection then covers what an earlier one has stored
if redis.call('EXISTS', mark) == 1 then redis.call('PEXPIRE', mark, window); return 1 end
reap_some(tag, indexes, 2)
local current, existed = {}, false
if kind == 'put' then
    existed = redis.call('EXISTS', record) == 1
else
    local flat = redis.call('HGETALL', record)
    for i = 1, #flat, 2 do current[flat[i]] = flat[i + 1] end
    existed = #flat > 0
end
local at = 11
for _ = 1, ARGV[9] do
    local value = current[ARGV[at]]
    if ARGV[at + 1] == '1' then
        if value ~= ARGV[at + 2] then return 0 end
    elseif value then
        return 0
    end
    at = at + 3
end
local sets, dels = {}, {}
for _ = 1, ARGV[10] do
    local field = ARGV[at]
    if ARGV[at + 1] == '1' then
        current[field] = ARGV[at + 2]
        sets[#sets + 1] = field
        sets[#sets + 1] = ARGV[at + 2]
    else
        if current[field] then dels[#dels + 1] = field end
        current[field] = nil
    end
    at = at + 3
end
local fields, bytes = 0, 0
for field, value in pairs(current) do
    fields = fields + 1
    bytes = bytes + #field + #value
end
if fields > tonumber(ARGV[7]) then return {'fields', fields} end
if bytes > tonumber(ARGV[8]) then return {'bytes', bytes} end
redis.call('SET', mark, 1, 'PX', window)
if fields == 0 and not existed then return 1 end
if kind == 'put' or fields == 0 then redis.call('DEL', record) end
if fields == 0 then
    redis.call('ZREM', tag .. ':keys', key)
    redis.call('ZREM', tag .. ':ends', key)
else
    if #sets > 0 then redis.call('HSET', record, unpack(sets)) end
    if #dels > 0 and kind ~= 'put' then redis.call('HDEL', record, unpack(dels)) end
    if not existed then redis.call('ZADD', tag .. ':keys', 0, key) end
    if life > 0 then
        redis.call('PEXPIRE', record, life)
        redis.call('ZADD', tag .. ':ends', moment() + life, key)
    elseif life == 0 or not existed then
        redis.call('PERSIST', record)
        redis.call('ZREM', tag .. ':ends', key)
    end
end
for _, name in ipairs(indexes) do
    if current[name] then redis.call('ZADD', tag .. ':due:' .. name, current[name], key)
    else redis.call('ZREM', tag .. ':due:' .. name, key) end
end
announce(tag, key)
return 1

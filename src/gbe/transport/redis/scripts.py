"""What happens in one step on the server. Commands of Redis 7.0 only, and none that MemoryDB forbids.

Two names of consumers serve all members of a group: ``active`` holds what is delivered and not answered, ``waiting``
what was refused and may come back later. A delivery is known by its count: nothing a former holder says about an
earlier one counts. So no consumer is left behind when a process ends.

A server without room takes no new message. What is stored is delivered, answered and trimmed all the same: otherwise
nobody could make room.
"""

from typing import Final

from gbe.redis.scripts import Script, script

ACTIVE: Final = "active"
WAITING: Final = "waiting"

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# Entries that go take groups that had not seen them along: otherwise Redis goes on counting them as lag, and as
# unanswered.
_SETTLE: Final = """
local function settle(key)
    local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    local info = {}
    local flat = redis.call('XINFO', 'STREAM', key)
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    local read = info['entries-added'] - info['length']
    local gone_until = first and '(' .. first[1] or '+'
    for _, flat_group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        local group = {}
        for i = 1, #flat_group, 2 do group[flat_group[i]] = flat_group[i + 1] end
        local behind = redis.call('XRANGE', key, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
        local unread = (behind == nil and first == nil) or (behind ~= nil and first ~= nil and behind[1] == first[1])
        if unread and group['entries-read'] ~= read then
            redis.call(
                'XGROUP', 'SETID', key, group['name'], group['last-delivered-id'],
                'ENTRIESREAD', string.format('%.0f', read)
            )
        end
        -- what is gone can no longer be answered
        while true do
            local gone = redis.call('XPENDING', key, group['name'], '-', gone_until, 100)
            if #gone == 0 then break end
            for _, entry in ipairs(gone) do redis.call('XACK', key, group['name'], entry[1]) end
        end
    end
end
"""

PUBLISH: Final[Script] = script(
    """
-- KEYS: stream, then the records of ids and idempotency keys, in the messages' order
-- ARGV: ms that keys are remembered, ms that ids are, ms the stream is kept (0: for good), ms of age at which messages
--       go (0: never), whether the entry ids are wanted, the subject's mark in entry ids,
--       then for each message: whether it has a key beside its id, id, timestamp, traceparent, payload
-- returns: for each message '' or the entry id if wanted, or, if another was there before, ':' and the first id
-- A record holds an id, and behind it the entry id if that is wanted.
local stream = KEYS[1]
local key_window, id_window, keep, age = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local wants = ARGV[5] == '1'
local time = redis.call('TIME')
local micros = tonumber(time[2])
local ms = time[1] .. string.format('%03d', math.floor(micros / 1000))
local within = micros % 1000 * 100000000 + ARGV[6]
local results, record, place, last = {}, 2, 0, nil
for at = 7, #ARGV, 5 do
    local id, has_key = ARGV[at + 1], ARGV[at] == '1'
    local first = redis.call('SET', KEYS[record], id, 'NX', 'GET', 'PX', id_window)
    if not first and has_key then
        first = redis.call('SET', KEYS[record + 1], id, 'NX', 'GET', 'PX', key_window)
        if first then redis.call('DEL', KEYS[record]) end
    end
    if first then
        -- written in any case: a WAIT on this connection then covers what an earlier one has stored
        redis.call('PEXPIRE', KEYS[record], id_window)
        local first_id, entry_id = first:match('^(%S+) ?(.*)$')
        results[#results + 1] = first_id == id and entry_id or ':' .. first_id
    else
        local entry = {'XADD', stream}
        if age > 0 and place == 0 then
            entry[3], entry[4] = 'MINID', '~'
            entry[5] = string.format('%.0f', tonumber(ms) - age)
        end
        local slot = #entry + 1
        entry[slot] = ms .. '-' .. string.format('%.0f', within + place * 1000000)
        entry[slot + 1], entry[slot + 2], entry[slot + 3], entry[slot + 4] = 'id', id, 'ts', ARGV[at + 2]
        local tail = slot + 5
        local trace = ARGV[at + 3]
        if trace ~= '' then entry[tail], entry[tail + 1] = 'tp', trace; tail = tail + 2 end
        entry[tail], entry[tail + 1] = 'data', ARGV[at + 4]
        last = redis.pcall(unpack(entry))
        if type(last) == 'table' then
            -- the clock stepped back, or another program numbers its entries differently: the server knows better
            entry[slot] = '*'
            last = redis.pcall(unpack(entry))
            if type(last) == 'table' then
                -- not stored, so not known: or a repetition would be confirmed
                redis.call('DEL', KEYS[record])
                if has_key then redis.call('DEL', KEYS[record + 1]) end
                return last
            end
        end
        place = place + 1
        if wants then redis.call('SET', KEYS[record], id .. ' ' .. last, 'PX', id_window) end
        results[#results + 1] = wants and last or ''
    end
    record = record + (has_key and 2 or 1)
end
if last then
    if keep > 0 then redis.call('PEXPIRE', stream, keep) end
    redis.call('SPUBLISH', '{' .. stream .. '}:wake', last)
end
return results
"""
)

UNSTORED: Final[Script] = script(
    """
-- KEYS: stream; ARGV: message. Hands it to those who follow the subject, behind what is stored by now.
-- returns: the entry id that it comes behind
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local place = newest and newest[1] or '0-0'
redis.call('SPUBLISH', '{' .. KEYS[1] .. '}:wake', 'v' .. place .. ' ' .. ARGV[1])
return place
""",
    without_room=True,
)

DELAY: Final[Script] = script(
    """
-- KEYS: delayed, later, then the records of id and idempotency key
-- ARGV: id, due (unix ms), timestamp, traceparent, payload, ms the records are kept
-- returns: '' or the first id
for k = 3, #KEYS do
    local first = redis.call('GET', KEYS[k])
    if first then return first end
end
redis.call('HSET', KEYS[2], ARGV[1], cmsgpack.pack({ARGV[3], ARGV[4], ARGV[5]}))
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
-- last: a record of what could not be stored would have a repetition confirmed
for k = 3, #KEYS do redis.call('SET', KEYS[k], ARGV[1], 'PX', ARGV[6]) end
return ''
"""
)

SHOW_DELAYED: Final[Script] = script(
    """
-- KEYS: delayed, later; ARGV: how many at most, bytes of payload at most
-- returns: id, timestamp, traceparent, payload, id, … of the first that are due
local found, size = {}, 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do
    local packed = redis.call('HGET', KEYS[2], id)
    if packed then
        local message = cmsgpack.unpack(packed)
        found[#found + 1] = id
        for part = 1, 3 do found[#found + 1] = message[part] end
        size = size + #message[3]
        if size >= tonumber(ARGV[2]) then break end
    end
end
return found
""",
    writes=False,
)

WITHDRAW: Final[Script] = script(
    """
-- KEYS: delayed, later; ARGV: id. Whether it was still waiting.
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
""",
    without_room=True,
)

DELIVER_DUE: Final[Script] = script(
    _NOW
    + """
-- KEYS: stream, delayed, later
-- ARGV: how many at most, ms the stream is kept (0: for good), the subject's mark in entry ids
-- returns: the entry ids and sizes, flat, of what was due; when the next is due, or ''; how many were moved
local stored = {}
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
local last
for place, id in ipairs(due) do
    local packed = redis.call('HGET', KEYS[3], id)
    if packed then
        local message = cmsgpack.unpack(packed)
        local wanted = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
            .. '-' .. string.format('%.0f', time[2] % 1000 * 100000000 + (place - 1) * 1000000 + ARGV[3])
        local fields = {'id', id, 'ts', message[1]}
        if message[2] ~= '' then fields[5], fields[6] = 'tp', message[2] end
        fields[#fields + 1] = 'data'
        fields[#fields + 1] = message[3]
        last = redis.pcall('XADD', KEYS[1], wanted, unpack(fields))
        if type(last) == 'table' then last = redis.call('XADD', KEYS[1], '*', unpack(fields)) end
        stored[#stored + 1] = last
        stored[#stored + 1] = #message[3]
    end
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
end
if last then
    if tonumber(ARGV[2]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    redis.call('SPUBLISH', '{' .. KEYS[1] .. '}:wake', last)
end
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {stored, following[2] or '', #due}
""",
    without_room=True,
)

MARK: Final[Script] = script(
    _NOW
    + """
-- KEYS: index of subjects; ARGV: subjects. Marks them as in use now, and tells of those that are new.
local fresh = {}
for i, subject in ipairs(ARGV) do
    if redis.call('ZADD', KEYS[1], now, subject) == 1 then fresh[#fresh + 1] = subject end
end
if #fresh > 0 then redis.call('SPUBLISH', KEYS[1], table.concat(fresh, ' ')) end
return now
""",
    without_room=True,
)

ACTIVE_SINCE: Final[Script] = script(
    _NOW
    + """
-- KEYS: index of subjects; ARGV: unix ms, or '' for how late it is
-- returns: the server's time, and the subjects that were used since then
if ARGV[1] == '' then return {now, {}} end
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')}
""",
    writes=False,
)

UNMARK: Final[Script] = script(
    """
-- KEYS: an index by score; ARGV: member, score. Removes it if it still has that score.
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
""",
    without_room=True,
)

PLAN_DELAY: Final[Script] = script(
    """
-- KEYS: index of delays, its versions; ARGV: subject, due. Keeps the earlier of two.
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[1], time[1] .. '.' .. time[2])
return redis.call('ZADD', KEYS[1], 'LT', ARGV[2], ARGV[1])
""",
    without_room=True,
)

DELAYS_DUE: Final[Script] = script(
    _NOW
    + """
-- KEYS: index of delays; ARGV: ms ahead to look, how many at most
-- returns: the server's time, then subjects and when they are due, flat
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])}
""",
    writes=False,
)

REPLAN_DELAY: Final[Script] = script(
    """
-- KEYS: index of delays, its versions; ARGV: subject, its version when it was looked at, its next due or ''
-- Does nothing if another message was planned meanwhile.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
else
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
end
return 1
""",
    without_room=True,
)

CLAIM: Final[Script] = script(
    _NOW
    + """
-- KEYS: stream, waiting; ARGV: group, ms after which an unanswered delivery comes back, how many at most, max_deliver,
--       ms until a message that is given up is given up again if its dead letter cannot be stored
-- returns: [[entry id, delivery count, whether it is given up, fields], …], when to look for refused ones again
--          (unix ms or ''), how many are unanswered in all, the server's time
local key, waiting, group = KEYS[1], KEYS[2], ARGV[1]
local limit, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {}
if redis.call('EXISTS', key) == 0 then return {found, '', 0, now} end
local function take(id, count)
    if count >= most then
        local entry = redis.call('XCLAIM', key, group, 'waiting', 0, id, 'RETRYCOUNT', count)[1]
        if entry then
            redis.call('ZADD', waiting, now + ARGV[5], id)
            found[#found + 1] = {id, count, 1, entry[2]}
        end
        return entry
    end
    local entry = redis.call('XCLAIM', key, group, 'active', 0, id, 'RETRYCOUNT', count + 1)[1]
    if entry then found[#found + 1] = {id, count + 1, 0, entry[2]} end
    return entry
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, limit)) do
    redis.call('ZREM', waiting, id)
    local held = redis.call('XPENDING', key, group, id, id, 1)[1]
    if held and held[2] == 'waiting' then take(id, held[4]) end
end
if #found < limit then
    for _, held in ipairs(redis.call('XPENDING', key, group, 'IDLE', ARGV[2], '-', '+', limit - #found, 'active')) do
        take(held[1], held[4])
    end
end
local following = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
return {found, following[2] or '', redis.call('XPENDING', key, group)[1], now}
""",
    without_room=True,
)

GIVE_BACK: Final[Script] = script(
    _NOW
    + """
-- KEYS: stream, waiting; ARGV: group, then for each delivery: entry id, its count, the count to leave, ms of delay
-- Returns what is still held under that count to the group. Returns how many were.
local key, waiting, group = KEYS[1], KEYS[2], ARGV[1]
local returned, at_once = 0, false
for at = 2, #ARGV, 4 do
    local id = ARGV[at]
    local held = redis.call('XPENDING', key, group, id, id, 1)[1]
    if held and held[2] == 'active' and held[4] == tonumber(ARGV[at + 1]) then
        redis.call('XCLAIM', key, group, 'waiting', 0, id, 'RETRYCOUNT', ARGV[at + 2], 'JUSTID')
        redis.call('ZADD', waiting, now + ARGV[at + 3], id)
        at_once = at_once or ARGV[at + 3] == '0'
        returned = returned + 1
    end
end
if at_once then redis.call('SPUBLISH', '{' .. key .. '}:wake', 'r') end
return returned
""",
    without_room=True,
)

EXTEND: Final[Script] = script(
    """
-- KEYS: stream; ARGV: group, then for each delivery: entry id, its count. Starts their ack timeout again.
local key, group = KEYS[1], ARGV[1]
local extended = 0
for at = 2, #ARGV, 2 do
    local id = ARGV[at]
    local held = redis.call('XPENDING', key, group, id, id, 1)[1]
    if held and held[2] == 'active' and held[4] == tonumber(ARGV[at + 1]) then
        redis.call('XCLAIM', key, group, 'active', 0, id, 'RETRYCOUNT', held[4], 'JUSTID')
        extended = extended + 1
    end
end
return extended
""",
    without_room=True,
)

MARK_INFLIGHT: Final[Script] = script(
    _NOW
    + """
-- KEYS: index, marks; ARGV: ms until to look, subjects. Announces that messages of these are about to be read.
for i = 2, #ARGV do
    redis.call('ZADD', KEYS[1], 'LT', now + ARGV[1], ARGV[i])
    redis.call('HSET', KEYS[2], ARGV[i], now)
end
return now
""",
    without_room=True,
)

INFLIGHT_DUE: Final[Script] = script(
    _NOW
    + """
-- KEYS: index; ARGV: how many at most, ms for which whoever asked has them to himself
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, subject in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], subject) end
return due
""",
    without_room=True,
)

INFLIGHT_DONE: Final[Script] = script(
    _NOW
    + """
-- KEYS: index, marks; ARGV: subject, ms without a mark after which it is forgotten, ms until the next look
local marked = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if now - marked > tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
else
    redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
end
return 0
""",
    without_room=True,
)

TRIM: Final[Script] = script(
    """
-- KEYS: stream; ARGV: entry id ahead of which to remove, about how many at most, then the groups that must be there
-- What a group has not acknowledged stays, and everything behind it.
-- returns: how many were removed, and whether that was all
local key, minid, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', key) == 0 then return {0, 1} end
local function less(one, other)
    local ms1, seq1 = one:match('^(%d+)-(%d+)$')
    local ms2, seq2 = other:match('^(%d+)-(%d+)$')
    local function order(a, b)
        if #a ~= #b then return #a < #b end
        return a < b
    end
    if ms1 ~= ms2 then return order(ms1, ms2) end
    return seq1 ~= seq2 and order(seq1, seq2)
end
local present = {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    present[group['name']] = true
    local unread = redis.call('XRANGE', key, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
    if unread and less(unread[1], minid) then minid = unread[1] end
    local held = redis.call('XPENDING', key, group['name'])
    if held[1] > 0 and less(held[2], minid) then minid = held[2] end
end
for i = 3, #ARGV do
    if not present[ARGV[i]] then return {0, 1} end
end
-- whole nodes first, in steps of limited length; what is left of the last node is little
local removed = redis.call('XTRIM', key, 'MINID', '~', minid, 'LIMIT', most)
local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
if removed > 0 and first and less(first[1], minid) then return {removed, 0} end
removed = removed + redis.call('XTRIM', key, 'MINID', '=', minid)
return {removed, 1}
""",
    without_room=True,
)

EVICT: Final[Script] = script(
    _SETTLE
    + """
-- KEYS: stream; ARGV: entry id ahead of which to remove, whatever groups have to say: a limit of the stream
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1])
if removed > 0 then settle(KEYS[1]) end
return removed
""",
    without_room=True,
)

FIGURES: Final[Script] = script(
    """
-- KEYS: stream; returns: its messages, the bytes it takes, unix ms of the oldest or 0
local key = KEYS[1]
if redis.call('EXISTS', key) == 0 then return {0, 0, 0} end
local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
local size = redis.call('MEMORY', 'USAGE', key) or 0
return {redis.call('XLEN', key), size, first and tonumber(first[1]:match('^(%d+)')) or 0}
""",
    writes=False,
)

LAG: Final[Script] = script(
    _NOW
    + _SETTLE
    + """
-- KEYS: stream; ARGV: group, where it begins if it is not there, ms of age at which messages go (0: never)
-- returns: pending or -1 for "count them", unacknowledged, unix ms of the oldest of both or 0, the id to count behind,
--          the server's time
local key = KEYS[1]
if redis.call('EXISTS', key) == 0 then return {0, 0, 0, '', now} end
if tonumber(ARGV[3]) > 0 then redis.call('XTRIM', key, 'MINID', '=', string.format('%.0f-0', now - ARGV[3])) end
settle(key)
local group
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local info = {}
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if info['name'] == ARGV[1] then group = info end
end
local border = group and group['last-delivered-id'] or ARGV[2]
local unread = redis.call('XRANGE', key, '(' .. border, '+', 'COUNT', 1)[1]
local pending, unacknowledged, oldest = 0, 0, nil
if unread then
    pending = group and group['lag'] or -1
    if not pending then pending = -1 end
    oldest = unread[1]
end
if group then
    local held = redis.call('XPENDING', key, ARGV[1])
    unacknowledged = held[1]
    if held[1] > 0 then oldest = held[2] end
end
return {pending, unacknowledged, oldest and tonumber(oldest:match('^(%d+)')) or 0, border, now}
""",
    without_room=True,
)

COUNT: Final[Script] = script(
    """
-- KEYS: stream; ARGV: entry id, how many at most
-- returns: how many entries lie behind it, at most so many, and the id of the last one counted
local found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {#found, #found > 0 and found[#found][1] or ''}
""",
    writes=False,
)

LOCATE: Final[Script] = script(
    """
-- KEYS: stream; ARGV: message id, first and last entry id to look at, how many at most
-- returns: the entry id or '', and the last entry id that was looked at, or '' at the end
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
for _, entry in ipairs(found) do
    local fields = entry[2]
    for i = 1, #fields, 2 do
        if fields[i] == 'id' and fields[i + 1] == ARGV[1] then return {entry[1], ''} end
    end
end
return {'', #found == tonumber(ARGV[4]) and found[#found][1] or ''}
""",
    writes=False,
)

PUT_STREAM: Final[Script] = script(
    """
-- KEYS: streams; ARGV: name, what is known of it ('' if nothing), how many streams are known, its configuration
-- Writes if nobody else has written meanwhile. Returns 1, or 0 for "look again".
local present = redis.call('HGET', KEYS[1], ARGV[1])
if (present or '') ~= ARGV[2] or redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('SPUBLISH', KEYS[1], ARGV[1])
return 1
"""
)

_ENTER: Final = """
local function enter(ledger, bytes, line)
    -- a repetition enters nothing twice
    if redis.call('ZADD', ledger, 0, line) == 1 then redis.call('INCRBY', bytes, line:match('^%S+ (%d+) ')) end
end
"""

ACCOUNT: Final[Script] = script(
    _ENTER
    + """
-- KEYS: ledger, its bytes; ARGV: max_msgs (0: any), max_bytes (0: any), then 'place size subject' for each message
-- returns: what must go: subject and place of its last, flat
for at = 3, #ARGV do enter(KEYS[1], KEYS[2], ARGV[at]) end
local most, bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local evicted, order = {}, {}
while true do
    local count = redis.call('ZCARD', KEYS[1])
    local size = tonumber(redis.call('GET', KEYS[2]) or '0')
    if count == 0 or not ((most > 0 and count > most) or (bytes > 0 and size > bytes)) then break end
    local line = redis.call('ZPOPMIN', KEYS[1])[1]
    local place, taken, subject = line:match('^(%S+) (%d+) (.+)$')
    redis.call('DECRBY', KEYS[2], taken)
    if not evicted[subject] then order[#order + 1] = subject end
    evicted[subject] = place
end
local result = {}
for _, subject in ipairs(order) do
    result[#result + 1] = subject
    result[#result + 1] = evicted[subject]
end
return result
""",
    without_room=True,
)

OPEN_LEDGER: Final[Script] = script(
    _ENTER
    + """
-- KEYS: ledger, its bytes; ARGV: 'place size subject' for each message that is stored already
-- Writes if there is no ledger yet: the bytes are there from then on, be it as 0.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[2], 0)
for at = 1, #ARGV do enter(KEYS[1], KEYS[2], ARGV[at]) end
return 1
"""
)

ENSURE_GROUP: Final[Script] = script(
    """
-- KEYS: stream; ARGV: group, entry id behind which it begins or '$', whether to make a stream that is not there
-- returns: 1 it was made, 0 it was there, -1 there is no stream
-- A group that knows how many entries lie behind its beginning knows its lag without counting.
local key, name, begin = KEYS[1], ARGV[1], ARGV[2]
local added = 0
if redis.call('EXISTS', key) == 1 then
    for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
        for i = 1, #flat, 2 do
            if flat[i] == 'name' and flat[i + 1] == name then return 0 end
        end
    end
    local info = {}
    local flat = redis.call('XINFO', 'STREAM', key)
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if begin == '$' then begin = info['last-generated-id'] end
    if #redis.call('XRANGE', key, '(' .. begin, '+', 'COUNT', 1) == 0 then
        added = info['entries-added']
    elseif #redis.call('XREVRANGE', key, begin, '-', 'COUNT', 1) == 0 then
        added = info['entries-added'] - info['length']
    else
        added = nil
    end
elseif ARGV[3] == '0' then
    return -1
elseif begin == '$' then
    begin = '0-0'
end
if added then
    redis.call('XGROUP', 'CREATE', key, name, begin, 'MKSTREAM', 'ENTRIESREAD', string.format('%.0f', added))
else
    redis.call('XGROUP', 'CREATE', key, name, begin)
end
return 1
""",
    without_room=True,
)

REGISTER: Final[Script] = script(
    """
-- KEYS: index of groups; ARGV: subscription, where it begins. What is there already stays.
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
""",
    without_room=True,
)

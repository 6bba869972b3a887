"""The journal's state changes, each one atomic on the server.

Every script first checks that the writing master is the newest (KEYS[1] holds the number of its start). A
store without that key has lost everything; one whose number or head is behind has lost something. Large
values come in parts: a hash collects them beside the key that they are for, and takes its place once all are
there.
"""

from __future__ import annotations

FENCED = "GERMLINE_FENCED"
GAP = "GERMLINE_GAP"
OTHER = "GERMLINE_OTHER"

_FENCE = f"""
local boot = redis.call('GET', KEYS[1])
local newer = boot and tonumber(boot) > tonumber(ARGV[1])
if newer then return redis.error_reply('{FENCED} start ' .. boot .. ' is newer') end
"""

_LOST = f"""
if boot ~= ARGV[1] then return redis.error_reply('{GAP} the store is empty, or fell back') end
"""

# KEYS: boot, owner, store. ARGV: who, for how many ms, a number for a new store, whose ownership may end: ''
# nobody's, 'any', or the owner's as it stands there. Answers the owner, or the number of the start.
TAKE = """
local owner = redis.call('GET', KEYS[2])
if owner and ARGV[4] ~= 'any' and ARGV[4] ~= owner then return owner end
local boot = redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[3], ARGV[3], 'NX')
return boot
"""

# KEYS: boot, owner. ARGV: boot, who, for how many ms.
RENEW = (
    _FENCE
    + _LOST
    + """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 'OK'
"""
)

# KEYS: boot, owner. ARGV: boot.
RELEASE = _FENCE + "return redis.call('DEL', KEYS[2])"

# KEYS: boot, heads, one stream an entry. ARGV: boot, then (experiment, position, how many parts, the parts)
# each.
# An entry at or below the head was stored before, by an attempt whose answer got lost.
APPEND = (
    _FENCE
    + _LOST
    + f"""
local at = 2
for i = 3, #KEYS do
  local number, position, parts = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local head = tonumber(redis.call('HGET', KEYS[2], number) or '0')
  if head < position - 1 then
    return redis.error_reply('{GAP} experiment ' .. number .. ' ends at entry ' .. head)
  elseif head < position then
    local fields = {{'entry', ARGV[at + 3]}}
    for part = 2, parts do
      fields[2 * part - 1] = 'entry:' .. part
      fields[2 * part] = ARGV[at + 2 + part]
    end
    redis.call('XADD', KEYS[i], ARGV[at + 1] .. '-0', unpack(fields))
    redis.call('HSET', KEYS[2], number, ARGV[at + 1])
  end
  at = at + 3 + parts
end
return 'OK'
"""
)

# KEYS: boot, heads, store. ARGV: boot, store id, then (experiment, position of its last entry) each.
LOOK = (
    _FENCE
    + _LOST
    + f"""
local store = redis.call('GET', KEYS[3])
if store and store ~= ARGV[2] then return redis.error_reply('{OTHER} it is store ' .. store) end
for at = 3, #ARGV, 2 do
  local head = tonumber(redis.call('HGET', KEYS[2], ARGV[at]) or '0')
  if head < tonumber(ARGV[at + 1]) then
    return redis.error_reply('{GAP} experiment ' .. ARGV[at] .. ' ends at entry ' .. head)
  end
end
return 'OK'
"""
)

# KEYS: boot, store, deleted, owner. ARGV: boot, store id, highest number deleted, who, for how many ms.
# A store that lost everything is this master's again; what it held is written to it next.
CLAIM = (
    _FENCE
    + f"""
local store = redis.call('GET', KEYS[2])
if store and store ~= ARGV[2] then return redis.error_reply('{OTHER} it is store ' .. store) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[5])
return 'OK'
"""
)

# KEYS: boot, parts. ARGV: boot, number of the part, its bytes.
STAGE = (
    _FENCE
    + """
if ARGV[2] == '0' then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 'OK'
"""
)

_PUBLISH = """
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
"""

# KEYS: boot, parts, value. ARGV: boot. Without parts it was done before, by an attempt whose answer got lost.
KEEP = _FENCE + _LOST + _PUBLISH + "return 'OK'"

# KEYS: boot, parts, snapshot, entries. ARGV: boot, first position that is not in it.
SAVE = (
    _FENCE
    + _LOST
    + _PUBLISH
    + """
redis.call('XTRIM', KEYS[4], 'MINID', ARGV[2] .. '-0')
return 'OK'
"""
)

# KEYS: boot, parts, snapshot, entries, heads. ARGV: boot, experiment, position.
RESEED = (
    _FENCE
    + _LOST
    + _PUBLISH
    + """
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
return 'OK'
"""
)

# KEYS: boot, names. ARGV: boot, (experiment, name) each.
NAME = (
    _FENCE
    + _LOST
    + """
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 'OK'
"""
)

# KEYS: boot, heads, deleted, names, all keys of an experiment. ARGV: boot, the experiment.
DELETE = (
    _FENCE
    + _LOST
    + """
local highest = tonumber(redis.call('GET', KEYS[3]) or '0')
if highest < tonumber(ARGV[2]) then redis.call('SET', KEYS[3], ARGV[2]) end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
for i = 5, #KEYS do redis.call('DEL', KEYS[i]) end
return 'OK'
"""
)

# KEYS: boot, a key. ARGV: boot.
DROP = _FENCE + "return redis.call('DEL', KEYS[2])"

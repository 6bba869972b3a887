"""The journal's state changes, each one atomic on the server.

Every script first checks that the writing master is the newest (KEYS[1] holds the number of its start). A
store without that key has lost everything; one whose head is behind has lost something.
"""

from __future__ import annotations

FENCED = "GERMLINE_FENCED"
GAP = "GERMLINE_GAP"

_FENCE = f"""
local boot = redis.call('GET', KEYS[1])
if boot and boot ~= ARGV[1] then return redis.error_reply('{FENCED} start ' .. boot .. ' is newer') end
"""

_LOST = f"""
if not boot then return redis.error_reply('{GAP} the store is empty') end
"""

# KEYS: boot, heads, one stream an entry. ARGV: boot, then (experiment, position, entry) each.
# An entry at or below the head was stored before, by an attempt whose answer got lost.
APPEND = (
    _FENCE
    + _LOST
    + f"""
for i = 3, #KEYS do
  local number, position, entry = ARGV[3 * i - 7], tonumber(ARGV[3 * i - 6]), ARGV[3 * i - 5]
  local head = tonumber(redis.call('HGET', KEYS[2], number) or '0')
  if head < position - 1 then
    return redis.error_reply('{GAP} experiment ' .. number .. ' ends at entry ' .. head)
  elseif head < position then
    redis.call('XADD', KEYS[i], ARGV[3 * i - 6] .. '-0', 'entry', entry)
    redis.call('HSET', KEYS[2], number, ARGV[3 * i - 6])
  end
end
return 'OK'
"""
)

# KEYS: boot, snapshot, entries. ARGV: boot, snapshot, first position that is not in it.
SAVE = (
    _FENCE
    + _LOST
    + """
redis.call('SET', KEYS[2], ARGV[2])
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[3] .. '-0')
return 'OK'
"""
)

# KEYS: boot, heads, store, deleted, names, (snapshot, entries) each. ARGV: boot, store id, highest number
# deleted, (experiment, name, position, snapshot) each.
RESEED = (
    _FENCE
    + """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[3], ARGV[2])
redis.call('SET', KEYS[4], ARGV[3])
for i = 6, #KEYS, 2 do
  local at = 4 + 4 * (i - 6) / 2
  redis.call('SET', KEYS[i], ARGV[at + 3])
  redis.call('DEL', KEYS[i + 1])
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
  redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 1])
end
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

# KEYS: boot, a blob. ARGV: boot, its bytes; empty bytes delete it.
KEEP = (
    _FENCE
    + _LOST
    + """
if ARGV[2] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[2]) end
return 'OK'
"""
)

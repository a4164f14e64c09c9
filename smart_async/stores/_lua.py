"""
What Redis runs: each script as a whole, with nobody else in between.

A client that lost the answer sends a script again, so each finds out whether it has already done its work.
Every script touches only the names in KEYS, which share one slot of a cluster.
"""

from __future__ import annotations

__all__ = ("ACQUIRE", "DELETE", "LOAD", "RELEASE", "SAVE")

LOAD = "return redis.call('HMGET', KEYS[1], 'version', 'data', 'key')"
"""KEYS: token. Returns version, data and the key's digest."""

SAVE = """
local found = redis.call('HMGET', KEYS[1], 'version', 'fence')
if found[1] == ARGV[2] then return 1 end
if (found[1] or '') ~= ARGV[1] then return 0 end
local fence = found[2] or '0'
if ARGV[4] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[4] or tonumber(ARGV[4]) < tonumber(fence) then return 0 end
  fence = ARGV[4]
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'data', ARGV[3], 'fence', fence, 'key', ARGV[6])
if ARGV[5] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[5]) else redis.call('PERSIST', KEYS[1]) end
return 1
"""
"""KEYS: token, fence. ARGV: expected version or '', new one, data, fence or '', lifetime or '', digest."""

DELETE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] ~= '' and ARGV[1] ~= '=' .. (redis.call('HGET', KEYS[1], 'version') or '') then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""KEYS: token. ARGV: '=' and the expected version, or '' for whatever is there."""

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then return redis.call('GET', KEYS[2]) end
if holder then return false end
local now = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local fence = string.format('%.0f', math.max(now[1] * 1000000 + now[2], last + 1))
redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return fence
"""
"""
KEYS: lease, fence. ARGV: owner, milliseconds of the lease and of the fence. Returns the fence, or nothing.

The fence counts on from the last one. It begins with the clock, so that it does not start anew when it
was forgotten in between.
"""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""KEYS: lease. ARGV: owner."""

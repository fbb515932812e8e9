"""What the server does in one step: scripts, each of which names all its keys, and all in one hash slot."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import field, frozen
from redis.exceptions import NoScriptError

from fpa_plugins.redis.framing import NONCE

__all__ = [
    "DROP",
    "DROP_UNCHANGED",
    "EPOCH",
    "GENERATIONS",
    "HEADS",
    "MOVED",
    "PUT",
    "RENEW",
    "REPLACE",
    "SIZES",
    "Script",
]

MOVED: Final = b"MOVED"
"""Returned by a script when the epoch is not the one that the caller knows."""


@frozen
class Script:
    """A script, run by its digest; the server gets the text when it does not know it."""

    text: str
    digest: str = field(init=False)

    @digest.default
    def _digest(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: list[bytes], *given: object) -> Any:
        """Run it with bytes and integers as arguments, and return its answer."""
        try:
            return client.execute_command("EVALSHA", self.digest, len(keys), *keys, *given)
        except NoScriptError:
            return client.execute_command("EVAL", self.text, len(keys), *keys, *given)


# KEYS: the epoch. ARGV: a random text.
# The epoch begins with the id of the run of the server, which changes when the server restarts, or another one takes its place.
EPOCH: Final = Script("""
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 1, #run) ~= run then
    epoch = run .. ARGV[1]
    redis.call('SET', KEYS[1], epoch)
end
return epoch
""")

# KEYS: the epoch, tags. ARGV: the epoch, a lifetime, a random generation for each tag that has none, or a spoiled one.
GENERATIONS: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'MOVED' end
local found = {}
for i = 2, #KEYS do
    local generation = redis.call('GET', KEYS[i])
    if not generation or not string.match(generation, '^%d+$') then
        generation = ARGV[i + 1]
        redis.call('SET', KEYS[i], generation, 'PX', ARGV[2])
    end
    found[i - 1] = generation
end
return found
""")

# KEYS: tags. ARGV: a lifetime, a random generation for each.
RENEW: Final = Script("""
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end
return #KEYS
""")

# KEYS: the epoch, the entry, tags of the fence. ARGV: the epoch, the value, its lifetime or 0, whether to return the older head, generations.
PUT: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'MOVED' end
for i = 3, #KEYS do
    if redis.call('GET', KEYS[i]) ~= ARGV[i + 2] then return 0 end
end
local old = 1
if ARGV[4] == '1' then
    local start = redis.call('GETRANGE', KEYS[2], 4, 7)
    if #start == 4 then old = redis.call('GETRANGE', KEYS[2], 0, struct.unpack('>I4', start) - 1) end
end
if ARGV[3] == '0' then
    redis.call('SET', KEYS[2], ARGV[2])
else
    redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return old
""")

# KEYS: the epoch, the entry. ARGV: the epoch, the nonce of the entry that was read, the new value, its lifetime or 0.
REPLACE: Final = Script(f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'MOVED' end
if redis.call('GETRANGE', KEYS[2], {NONCE[0]}, {NONCE[1]}) ~= ARGV[2] then return 0 end
if ARGV[4] == '0' then
    redis.call('SET', KEYS[2], ARGV[3])
else
    redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
end
return 1
""")

# KEYS: entries. Returns the head of each.
HEADS: Final = Script("""
local heads = {}
for i = 1, #KEYS do
    local start = redis.call('GETRANGE', KEYS[i], 4, 7)
    heads[i] = #start == 4 and redis.call('GETRANGE', KEYS[i], 0, struct.unpack('>I4', start) - 1) or ''
end
return heads
""")

# KEYS: entries. Returns how many exist, and the bytes of all.
SIZES: Final = Script("""
local count, bytes = 0, 0
for i = 1, #KEYS do
    local size = redis.call('STRLEN', KEYS[i])
    if size > 0 then count = count + 1; bytes = bytes + size + #KEYS[i] end
end
return {count, bytes}
""")

# KEYS: entries. Returns the places, from 1, of those that existed.
DROP: Final = Script("""
local dropped = {}
for i = 1, #KEYS do
    if redis.call('UNLINK', KEYS[i]) == 1 then dropped[#dropped + 1] = i end
end
return dropped
""")

# KEYS: entries. ARGV: the nonce of each when it was read. Returns the places, from 1, of those that were dropped.
DROP_UNCHANGED: Final = Script(f"""
local dropped = {{}}
for i = 1, #KEYS do
    if redis.call('GETRANGE', KEYS[i], {NONCE[0]}, {NONCE[1]}) == ARGV[i] then
        redis.call('UNLINK', KEYS[i])
        dropped[#dropped + 1] = i
    end
end
return dropped
""")

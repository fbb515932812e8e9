"""The Redis cache backend: entries and generations on a server.

All keys of a cache begin with ``{prefix}``, so that in a cluster they share a hash slot, and one script can handle several of them in one step.
"""

from __future__ import annotations

import secrets
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from attrs import evolve

from fpa_core.cache.fork import fork_safe_lock
from fpa_core.exceptions import CacheError
from fpa_core.protocols import Capability, Entry, RemovalCause, RemovalListener, Usage
from fpa_plugins.redis import scripts
from fpa_plugins.redis.framing import Frame, Framing
from fpa_plugins.redis.options import RedisOptions
from fpa_plugins.redis.server import BITS, Epoch, EpochMovedError, Server
from fpa_plugins.redis.tracking import TagCopies

__all__ = ["RedisCache"]

STEP: Final = 500
"""Keys read, listed, counted or dropped at once, so that the server answers others in between."""

TAG_LIFETIME: Final = 30 * 86_400_000
"""Milliseconds after which the server drops the generation of a tag; entries made under it are void then."""

TRIES: Final = 10
"""How often a touch begins anew because another process stored a value meanwhile."""

Removed = list[tuple[str, RemovalCause]]

T = TypeVar("T")


class RedisCache:
    """The Redis cache backend, for a server, a service of Sentinels, or a cluster.

    The server bounds its memory and drops expired entries on its own. It does so by their lifetimes and not by a clock time, so that its clock
    need not agree with that of this machine. A generation that the server dropped is replaced by a random one, which ends what was made under it.

    :raises CacheError: from every method if the server cannot be reached or refuses, and at once while it is left alone after failures.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.PERSISTENT, Capability.SHARED, Capability.STORES_BYTES})

    def __init__(self, options: RedisOptions) -> None:
        self._entries = f"{{{options.prefix}}}e:".encode()
        self._tags = f"{{{options.prefix}}}t:".encode()
        self._max_value = options.max_value_bytes
        self._framing = Framing(None if options.signing_key is None else str(options.signing_key).encode())
        self._server = Server(options)
        self._run = self._server.run
        self._copies: TagCopies | None = None
        if options.tag_copies is not None:
            self._copies = TagCopies(self._server.node, [self._tags, self._server.key], options.tag_copies)
            weakref.finalize(self, self._copies.stop)
        self._lock = fork_safe_lock()
        self._evicted: Counter[str] = Counter()
        self._listeners: tuple[RemovalListener, ...] = ()

    def get(self, key: str, /) -> Entry | None:
        """Return the entry, or None."""
        return self._run(self._read, [self._entry(key)])[0]

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Return the existing entries of *keys*, by key."""
        names = {self._entry(key): key for key in keys}
        found: dict[str, Entry] = {}
        for step in _steps(names):
            entries = self._run(self._read, step)
            found |= {names[name]: entry for name, entry in zip(step, entries, strict=True) if entry is not None}
        return found

    def put(self, key: str, entry: Entry, *, fence: Mapping[str, int] | None = None) -> bool:
        """Store the entry unless it is too large or a generation in *fence* has changed."""
        name = self._entry(key)
        if len(entry.value) > self._max_value:
            self._evicted["oversize"] += 1
            if self.delete(key):
                self._notify([(key, RemovalCause.EVICTED)])
            return False
        answer, epoch = self._run(self._store, name, entry, dict(fence or {}))
        if answer == 0:
            return False
        if isinstance(answer, bytes) and (old := self._framing.head(answer)) is not None:
            self._notify([(key, cause) for cause in self._causes([old], epoch, entry.stored_at, RemovalCause.REPLACED)])
        return True

    def touch(self, key: str, expires_at: float | None, keep_until: float | None) -> bool:
        """Change the times of the entry."""
        name = self._entry(key)
        for _ in range(TRIES):
            if (touched := self._run(self._change, name, expires_at, keep_until)) is not None:
                return touched
        raise CacheError(f"other processes kept replacing the entry of {key!r} while it was touched", key=key)

    def delete(self, key: str) -> bool:
        """Delete the entry, and return whether there was one."""
        return self._run(_unlink, [self._entry(key)]) > 0

    def delete_many(self, keys: Sequence[str]) -> list[str]:
        """Delete the entries of *keys*, and return those for which there was one."""
        existed: list[str] = []
        for step in _steps(keys):
            places = self._run(_drop, list(map(self._entry, step)))
            existed += [step[place - 1] for place in places]
        return existed

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*, read in steps."""
        for names in self._scan(prefix):
            yield from map(self._key, names)

    def generations(self, tags: Sequence[str]) -> dict[str, int]:
        """Return the current generation of each tag; one that the server does not have is made."""
        names = {tag: self._tag(tag) for tag in tags}
        if self._copies is None:
            found, _ = self._ask(names.values())
        else:
            asked = list(names.values())
            if (known := self._copies.known(asked, self._server.epoch.number)) is not None:
                return dict(zip(names, known, strict=True))
            with self._copies.reading() as reading:
                found, epoch = self._ask(asked)
                if epoch is not None:
                    self._copies.remember(reading, found, epoch.number)
        return {tag: found[name] for tag, name in names.items()}

    def _ask(self, names: Iterable[bytes]) -> tuple[dict[bytes, int], Epoch | None]:
        """Return the generations by the names of their keys, and the epoch if all were read in one."""
        found: dict[bytes, int] = {}
        epochs: set[Epoch] = set()
        for step in _steps(names):
            values, epoch = self._run(self._generations, step)
            found |= zip(step, values, strict=True)
            epochs.add(epoch)
        return found, epochs.pop() if len(epochs) == 1 else None

    def bump(self, tags: Sequence[str]) -> None:
        """Give each tag a new generation, which it had before only with a probability of 1 in 2**62."""
        for step in _steps(map(self._tag, dict.fromkeys(tags))):
            self._run(_renew, step)
            if self._copies is not None:
                self._copies.forget(step)

    def purge(self, now: float, limit: int | None = None) -> int:
        """Delete at most *limit* entries that are useless at *now*. The server frees memory without it."""
        purged = 0
        for names in self._scan():
            if limit is not None and purged >= limit:
                break
            removed, dropped = self._run(self._sweep, names, now, None if limit is None else limit - purged)
            purged += dropped
            self._notify(removed)
        self._evicted["expired"] += purged
        return purged

    def clear(self) -> int:
        """Delete all entries and return their number."""
        return sum(self._run(_unlink, names) for names in self._scan())

    def usage(self) -> Usage:
        """Return the usage, counted step by step; failures of the server are counted with what was evicted."""
        entries = size = 0
        for names in self._scan():
            count, total = self._run(_sizes, names)
            entries += count
            size += total
        breaker = self._server.breaker
        troubles = {"unreachable": breaker.failures + breaker.refused} if breaker.failures else {}
        return Usage(entries, size, dict(self._evicted) | troubles)

    def add_removal_listener(self, listener: RemovalListener) -> None:
        """Notify *listener* of entries that this object removes or replaces; what the server drops, and other processes, is not seen."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def close(self) -> None:
        """Close the connections."""
        if self._copies is not None:
            self._copies.stop()
        self._server.close()

    # Names

    def _entry(self, key: str) -> bytes:
        return self._entries + _bytes(key)

    def _tag(self, tag: str) -> bytes:
        return self._tags + _bytes(tag)

    def _key(self, name: bytes) -> str:
        return name[len(self._entries) :].decode()

    # Within one epoch

    def _store(self, client: Any, epoch: Epoch, name: bytes, entry: Entry, fence: dict[str, int]) -> tuple[Any, Epoch]:
        """Return 0 if the fence has moved, the head of the entry that was replaced if there are listeners, otherwise 1; and the epoch."""
        keys = [self._server.key, name, *map(self._tag, fence)]
        generations = [b"%d" % (generation ^ epoch.number) for generation in fence.values()]
        frame = self._framing.pack(name, entry, epoch.number)
        watched = b"1" if self._listeners else b"0"
        given = (epoch.text, frame, _lifetime(entry, entry.stored_at), watched, *generations)
        return _checked(scripts.PUT.run(client, keys, *given)), epoch

    def _change(
        self, client: Any, epoch: Epoch, name: bytes, expires_at: float | None, keep_until: float | None
    ) -> bool | None:
        """Return whether there was an entry whose times were changed; None if another one was stored meanwhile."""
        (content,) = self._values(client, epoch, [name])
        frame = None if content is None else self._framing.unpack(name, content)
        if frame is None or frame.epoch != epoch.number:
            return False
        entry = evolve(frame.entry, expires_at=expires_at, keep_until=keep_until)
        given = (epoch.text, frame.nonce, self._framing.pack(name, entry, epoch.number), _lifetime(entry, time.time()))
        return bool(_checked(scripts.REPLACE.run(client, [self._server.key, name], *given))) or None

    def _read(self, client: Any, epoch: Epoch, names: Sequence[bytes]) -> list[Entry | None]:
        unreadable = Entry(b"", 0.0)  # which DataCache counts as a value that it cannot decode
        found: list[Entry | None] = []
        for content, name in zip(self._values(client, epoch, names), names, strict=True):
            frame = None if content is None else self._framing.unpack(name, content)
            if content is None or (frame is not None and frame.epoch != epoch.number):
                found.append(None)
            else:
                found.append(unreadable if frame is None else frame.entry)
        return found

    def _values(self, client: Any, epoch: Epoch, names: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = client.execute_command("MGET", self._server.key, *names)
        if values[0] != epoch.text:
            raise EpochMovedError
        return values[1:]

    def _generations(self, client: Any, epoch: Epoch, names: list[bytes]) -> tuple[list[int], Epoch]:
        values: Any = self._values(client, epoch, names)
        if not all(value is not None and value.isdigit() for value in values):
            keys = [self._server.key, *names]
            made = [_random() for _ in names]
            values = _checked(scripts.GENERATIONS.run(client, keys, epoch.text, TAG_LIFETIME, *made))
        return [int(value) ^ epoch.number for value in values], epoch

    def _sweep(
        self, client: Any, epoch: Epoch, names: list[bytes], now: float, limit: int | None
    ) -> tuple[Removed, int]:
        """Drop what is useless among *names*, and return it with its number. Entries of another epoch, and what is no entry, are useless."""
        heads = [self._framing.head(head) for head in scripts.HEADS.run(client, names)]
        over = [
            (name, head)
            for name, head in zip(names, heads, strict=True)
            if head is not None and (head.epoch != epoch.number or _is_over(head.entry, now))
        ][:limit]
        if not over:
            return [], 0
        places = scripts.DROP_UNCHANGED.run(client, [name for name, _ in over], *(head.nonce for _, head in over))
        dropped = [over[place - 1] for place in places]
        if not self._listeners:
            return [], len(dropped)
        causes = self._causes([head for _, head in dropped], epoch, now, RemovalCause.EXPIRED)
        return [(self._key(name), cause) for (name, _), cause in zip(dropped, causes, strict=True)], len(dropped)

    # Steps

    def _scan(self, prefix: str = "") -> Iterator[list[bytes]]:
        """Yield the names of entries whose keys begin with *prefix*, each once, in lists of at most some 500."""
        pattern = _literal(self._entry(prefix)) + b"*"
        seen: set[bytes] = set()
        cursor, begun = 0, False
        while cursor or not begun:
            cursor, found = self._run(self._scan_step, cursor, pattern)
            begun = True
            new = [name for name in dict.fromkeys(found) if name not in seen and _is_text(name)]
            seen.update(new)
            yield from _steps(new)

    def _scan_step(self, client: Any, _: Epoch, cursor: int, pattern: bytes) -> tuple[int, list[bytes]]:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
        if (node_of := getattr(client, "get_node_from_key", None)) is None:
            after, found = client.execute_command(*command)
        else:  # all keys are in one slot, and so on one node of the cluster
            cursors, found = client.execute_command(*command, target_nodes=node_of(self._server.key))
            (after,) = cursors.values()
        return int(after), found

    # Notifications

    def _causes(self, heads: Sequence[Frame], epoch: Epoch, now: float, cause: RemovalCause) -> list[RemovalCause]:
        """Return why entries left, of which *cause* is the reason if they were good."""
        present = self.generations([tag for head in heads for tag in head.entry.tags])
        causes = []
        for head in heads:
            current = all(present[tag] == generation for tag, generation in head.entry.tags.items())
            if not current or head.epoch != epoch.number:
                causes.append(RemovalCause.INVALIDATED)
            else:
                causes.append(RemovalCause.EXPIRED if _is_over(head.entry, now) else cause)
        return causes

    def _notify(self, removed: Removed) -> None:
        for listener in self._listeners:
            for key, cause in removed:
                listener(key, cause)


def _unlink(client: Any, _: Epoch, names: list[bytes]) -> int:
    return int(client.execute_command("UNLINK", *names))


def _drop(client: Any, _: Epoch, names: list[bytes]) -> list[int]:
    places: list[int] = scripts.DROP.run(client, names)
    return places


def _renew(client: Any, _: Epoch, names: list[bytes]) -> None:
    scripts.RENEW.run(client, names, TAG_LIFETIME, *(_random() for _ in names))


def _sizes(client: Any, _: Epoch, names: list[bytes]) -> tuple[int, int]:
    count, size = scripts.SIZES.run(client, names)
    return count, size


def _steps(names: Iterable[T]) -> Iterator[list[T]]:
    """Yield *names* in lists of at most ``STEP``."""
    rest = iter(names)
    while step := list(islice(rest, STEP)):
        yield step


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CacheError(f"the key {text!r} is not valid Unicode", key=text) from None


def _is_text(name: bytes) -> bool:
    """Return whether a name could be one of this cache: others may have made keys that begin as its own do."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _literal(name: bytes) -> bytes:
    """Return the pattern of the server that matches *name* alone."""
    return b"".join(b"\\" + bytes([each]) if each in b"*?[]\\^-" else bytes([each]) for each in name)


def _random() -> bytes:
    return b"%d" % secrets.randbits(BITS)


def _checked(answer: Any) -> Any:
    if answer == scripts.MOVED:
        raise EpochMovedError
    return answer


def _until(entry: Entry) -> float | None:
    return entry.expires_at if entry.keep_until is None else entry.keep_until


def _is_over(entry: Entry, now: float) -> bool:
    return (until := _until(entry)) is not None and until <= now


def _lifetime(entry: Entry, now: float) -> int:
    """Return for how many milliseconds the server keeps the entry; 0 for ever."""
    return 0 if (until := _until(entry)) is None else max(int((until - now) * 1000), 1)

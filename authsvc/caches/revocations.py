"""The marks in Redis: one hash for each warm-up, and a function library that knows whose it is.

The library keeps, for each deployment, the nonce of its last warm-up in a Lua local: in the memory of one process,
neither saved nor replicated. Every call brings its nonce and is refused where it is not that one. So a server that was
restarted, reloaded, promoted, or is not the one that was filled, refuses by itself, in the same call that would have
read or written. `rev_get` is registered without `no-writes`, and so a replica refuses it too.

The hash has a field `#`: 0 while it is filled, 1 when it holds every mark. Marker and marks live and die together.
Nothing here is ever sent twice: a warm-up whose outcome is unclear is given up.
"""

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any

from redis.exceptions import ResponseError

from authsvc.caches.pipelined import head, pack
from authsvc.caches.redis import Cache

PREFIX = "authsvc:rev:"
READ_SECONDS = 0.05
"""What Redis may add to an answer that PostgreSQL has to give after all."""
LOAD_SECONDS = 2.0

# Names carry the digest of the text, so that two versions in a rolling deployment are two libraries. Loaded without
# REPLACE, which would forget the owners.
_TEXT = """
local owners = {}
local function guarded(body) return function(keys, args)
  if not owners[args[1]] or owners[args[1]] ~= args[2] then return redis.error_reply('NOTOWNER') end
  return body(keys[1], args)
end end
local function put(key, mark, generation)
  if tonumber(generation) > tonumber(redis.call('HGET', key, mark) or '-1') then
    redis.call('HSET', key, mark, generation)
  end
end
redis.register_function('rev_own_DIGEST', function(keys, args)
  if owners[args[1]] == args[2] then return redis.error_reply('USED') end
  owners[args[1]] = args[2]
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], '#', '0')
  return 'OK'
end)
redis.register_function{function_name = 'rev_get_DIGEST', flags = {'allow-oom'}, callback = guarded(function(key, args)
  local found = redis.call('HMGET', key, '#', unpack(args, 3))
  if found[1] ~= '1' then return redis.error_reply('NOTCOMPLETE') end
  local hits = {}
  for i = 2, #found do
    if found[i] then
      hits[#hits + 1] = args[i + 1]
      hits[#hits + 1] = found[i]
    end
  end
  return hits
end)}
redis.register_function('rev_put_DIGEST', guarded(function(key, args)
  if redis.call('HEXISTS', key, '#') == 0 then return redis.error_reply('NOTCOMPLETE') end
  for i = 3, #args, 2 do put(key, args[i], args[i + 1]) end
  return 'OK'
end))
redis.register_function('rev_load_DIGEST', guarded(function(key, args)
  if redis.call('HGET', key, '#') ~= '0' then return redis.error_reply('NOTCOMPLETE') end
  local marks, pairs, count = {}, {}, 0
  local function write()
    local found = redis.call('HMGET', key, unpack(marks, 1, count))
    for i = 1, count do
      if found[i] and tonumber(found[i]) > tonumber(pairs[2 * i]) then pairs[2 * i] = found[i] end
    end
    redis.call('HSET', key, unpack(pairs, 1, 2 * count))
    count = 0
  end
  for mark, generation in string.gmatch(args[3], '([^\\n]+)\\n([^\\n]+)\\n') do
    count = count + 1
    marks[count], pairs[2 * count - 1], pairs[2 * count] = mark, mark, generation
    if count == 1000 then write() end
  end
  if count > 0 then write() end
  return 'OK'
end))
redis.register_function('rev_done_DIGEST', guarded(function(key)
  if redis.call('HGET', key, '#') ~= '0' then return redis.error_reply('NOTCOMPLETE') end
  redis.call('HSET', key, '#', '1')
  return 'OK'
end))
redis.register_function('rev_forget_DIGEST', guarded(function(key, args)
  for i = 3, #args, 2 do
    if redis.call('HGET', key, args[i]) == args[i + 1] then redis.call('HDEL', key, args[i]) end
  end
  return 'OK'
end))
"""
_DIGEST = sha256(_TEXT.encode()).hexdigest()[:12]
LIBRARY = f"#!lua name=authsvc_rev_{_DIGEST}\n" + _TEXT.replace("DIGEST", _DIGEST)

MOST_MARKS = 4_000
"""In one call: Lua unpacks no more than 8,000."""


class RevocationCache:
    """Every method raises CacheAway when Redis gives no answer. That it answers and refuses is told as a value."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._asks_as = ("", "", b"")
        """Deployment, nonce, and how every question under these two begins."""
        self.refusal: str | None = None
        """What kind of error the server last refused something with, but for questions: it says nothing of theirs."""

    async def get(self, deployment: str, nonce: str, marks: Collection[str]) -> Mapping[str, int] | None:
        """Those of the marks that are set. None: this Redis is not the one that was filled, or does not hold all."""
        if len(marks) > MOST_MARKS:
            return None
        question = self._question(deployment, nonce, marks)
        return _read(await self._cache.ask("rev_get", question, seconds=READ_SECONDS))

    def begin(
        self, deployment: str, nonce: str, marks: Collection[str], tell: Callable[[Mapping[str, int] | None], None]
    ) -> bool:
        """As `get`, where nothing has to be waited for first. `tell` is called later, once; also with None when Redis
        gives no answer. False: nothing was asked."""
        if len(marks) > MOST_MARKS:
            return False
        question = self._question(deployment, nonce, marks)
        return self._cache.begin("rev_get", question, lambda hits: tell(_read(hits)), seconds=READ_SECONDS)

    async def put(self, deployment: str, nonce: str, marks: Mapping[str, int]) -> bool:
        """Set the marks, keeping larger numbers. Whether it is confirmed."""
        return await self._call("rev_put", "rev_put", deployment, nonce, *_pairs(marks)) is not None

    async def own(self, deployment: str, nonce: str) -> bool:
        """Become the owner, with a hash that holds nothing yet. Whether it is confirmed."""
        await self._install()
        self.refusal = None  # that the library is there already is none
        return await self._call("rev_warm", "rev_own", deployment, nonce) is not None

    async def load(self, deployment: str, nonce: str, text: str) -> bool:
        """Set many marks, each with its number on the line below, while the hash is filled. Whether it is confirmed."""
        return await self._call("rev_warm", "rev_load", deployment, nonce, text, seconds=LOAD_SECONDS) is not None

    async def done(self, deployment: str, nonce: str) -> bool:
        """It holds every mark. Whether it is confirmed."""
        return await self._call("rev_warm", "rev_done", deployment, nonce) is not None

    async def forget(self, deployment: str, nonce: str, marks: Mapping[str, int]) -> None:
        """Remove the marks that still have these numbers: one that was set anew stays."""
        await self._call("rev_put", "rev_forget", deployment, nonce, *_pairs(marks))

    async def is_able(self) -> bool:
        """Whether this server has functions, and lets us use them."""
        return await self._ask("rev_warm", "FUNCTION LIST", "LIBRARYNAME", "authsvc*") is not None

    async def sweep(self, deployment: str, nonce: str) -> None:
        """Remove what earlier warm-ups of this deployment have left."""
        keep, cursor = _key(deployment, nonce).encode(), -1
        while cursor:
            told = await self._ask("rev_warm", "SCAN", max(cursor, 0), "MATCH", _key(deployment, "*"), "COUNT", 1_000)
            cursor, keys = told or (0, [])
            if old := [key for key in keys if key != keep]:
                await self._ask("rev_warm", "UNLINK", *old)

    def _question(self, deployment: str, nonce: str, marks: Collection[str]) -> bytes:
        return head(6 + len(marks)) + self._beginning(deployment, nonce) + pack(*marks)

    def _beginning(self, deployment: str, nonce: str) -> bytes:
        if self._asks_as[:2] != (deployment, nonce):
            begins = pack("FCALL", f"rev_get_{_DIGEST}", 1, _key(deployment, nonce), deployment, nonce)
            self._asks_as = deployment, nonce, begins
        return self._asks_as[2]

    async def _install(self) -> None:
        """Load the library, if it is not there yet: loading does not replace it."""
        await self._ask("rev_warm", "FUNCTION LOAD", LIBRARY)

    async def _call(
        self,
        op: str,
        function: str,
        deployment: str,
        nonce: str,
        *args: str | int,
        seconds: float | None = None,
    ) -> Any:
        name, key = f"{function}_{_DIGEST}", _key(deployment, nonce)
        command = ("FCALL", name, 1, key, deployment, nonce, *args)
        return await self._ask(op, *command, seconds=seconds)

    async def _ask(self, op: str, *command: str | int | bytes, seconds: float | None = None) -> Any:
        """What the server says; None where it refuses, whatever its reason: it is doubt, and no outage."""

        async def ask() -> Any:
            try:
                return await self._cache.client.execute_command(*command)  # type: ignore[no-untyped-call]
            except ResponseError as error:
                self.refusal = type(error).__name__
                return None

        return await self._cache.call(op, ask, seconds=seconds)


def _read(hits: list[bytes] | None) -> Mapping[str, int] | None:
    if not hits:  # as nearly always
        return None if hits is None else {}
    try:
        return {str(mark, "utf-8"): int(number) for mark, number in zip(hits[::2], hits[1::2], strict=True)}
    except ValueError:  # somebody else has written to it
        return None


def _pairs(marks: Mapping[str, int]) -> list[str]:
    return [str(part) for pair in marks.items() for part in pair]


def _key(deployment: str, nonce: str) -> str:
    return f"{PREFIX}{deployment}:{nonce}"

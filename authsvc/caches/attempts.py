"""Attempts, counted in Redis for all workers of all nodes: the rule of `protocol/limits.py`, by the clock of Redis."""

from collections.abc import Sequence

from authsvc.caches.redis import Cache
from authsvc.models import Budget, Refusal

PREFIX = "authsvc:lim:"
"""Below it lie numbers that live no longer than a budget takes to grow back."""

# A moment is written in digits, for Lua would round it, and always together with its end.
_BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function digits(number) return string.format('%.0f', number) end
local function milliseconds(microseconds) return digits(math.ceil(microseconds / 1000)) end
"""
# One call, one decision: all budgets have room and are spent from, or none is. Arguments: interval and whole of each.
_SPEND = (
    _BEGIN
    + """
local moments, refused_by, longest = {}, 0, 0
for i, key in ipairs(KEYS) do
  local interval, whole = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local stored = tonumber(redis.call('GET', key) or '0')
  moments[i] = math.min(math.max(stored, now), now + whole) + interval
  local wait = moments[i] - whole - now
  if wait > longest then refused_by, longest = i, wait end
end
if refused_by == 0 then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, digits(moments[i]), 'PX', milliseconds(moments[i] - now))
  end
end
return {refused_by, digits(longest)}
"""
)
# Arguments: how many microseconds each budget gets back.
_GIVE_BACK = (
    _BEGIN
    + """
for i, key in ipairs(KEYS) do
  local moment = tonumber(redis.call('GET', key) or '0') - tonumber(ARGV[i])
  if moment > now then
    redis.call('SET', key, digits(moment), 'PX', milliseconds(moment - now))
  else
    redis.call('DEL', key)
  end
end
"""
)


class SharedAttempts:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._spend = cache.client.register_script(_SPEND)
        self._give_back = cache.client.register_script(_GIVE_BACK)

    async def spend(self, budgets: Sequence[Budget]) -> Refusal | None:
        """Count one attempt in each budget, or in none: then it is told which one is spent for longest.

        Raises:
            CacheAway: it is not known whether the attempt was counted.
        """
        keys, sizes = _keys(budgets), [size for budget in budgets for size in (budget.interval, budget.whole)]
        refused_by, wait = await self._cache.call("spend_attempts", lambda: self._spend(keys, sizes))
        return (budgets[refused_by - 1], int(wait)) if refused_by else None

    async def give_back(self, budgets: Sequence[Budget], amounts: Sequence[int]) -> None:
        """Give each budget back what grows in so many microseconds.

        Raises:
            CacheAway: it is not known whether that was done.
        """
        await self._cache.call("give_back_attempts", lambda: self._give_back(_keys(budgets), amounts))


def _keys(budgets: Sequence[Budget]) -> list[str]:
    return [PREFIX + budget.key for budget in budgets]

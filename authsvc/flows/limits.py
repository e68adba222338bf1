"""How often may somebody try? Counted before the attempt is heard, and the same whether there is such an account or not
(LOG-04 to LOG-08)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

from authsvc.caches.attempts import SharedAttempts
from authsvc.errors import CacheAway, TooManyAttempts, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.local_attempts import LocalAttempts
from authsvc.metrics import Metrics
from authsvc.models import Budget, Client, Limiter, Refusal
from authsvc.protocol.addresses import Address, prefix_of
from authsvc.protocol.audit import Event
from authsvc.protocol.limits import Limit, budget_of, whole_seconds

Who = tuple[Limiter, *tuple[str, ...]]

MAX_REMEMBERED = 10_000
"""Budgets of clients that there are: each is the same every time."""

_PASSWORDS = frozenset({Limiter.LOGIN, Limiter.LOGIN_ACCOUNT, Limiter.LOGIN_ADDRESS, Limiter.PASSWORD})


@dataclass(frozen=True, slots=True)
class _Spent:
    """Budgets that one attempt was counted in."""

    budgets: Sequence[Budget]
    store: SharedAttempts | None
    """That counted it. None: this process."""


class Limits:
    """Counts people's attempts in Redis, for all workers; in this process where Redis cannot be asked (LOG-06): then a
    worker knows of its own only, and there are limits still. What is not `allowed` a number is not limited."""

    def __init__(
        self,
        allowed: Mapping[Limiter, Limit],
        shared: SharedAttempts | None,
        local: LocalAttempts,
        audit: Audit,
        metrics: Metrics,
    ) -> None:
        self._allowed = allowed
        self._shared = shared
        self._local = local
        self._audit = audit
        self._count = metrics.rate_limited
        self._client_budget = lru_cache(MAX_REMEMBERED)(self._budget)

    # --- Passwords: the block is the attempt. Here and below TooManyAttempts is raised before anything is done.

    def login(self, account: str, address: Address | None) -> AbstractAsyncContextManager[None]:
        """An attempt at the password of this account."""
        prefix = prefix_of(address)
        return self._attempt(
            (Limiter.LOGIN, account, prefix), (Limiter.LOGIN_ACCOUNT, account), (Limiter.LOGIN_ADDRESS, prefix)
        )

    def own_password(self, sub: str) -> AbstractAsyncContextManager[None]:
        """An attempt of a user who is logged in (PWR-09)."""
        return self._attempt((Limiter.PASSWORD, sub))

    @asynccontextmanager
    async def _attempt(self, *wanted: Who) -> AsyncIterator[None]:
        """With an error the attempt has failed and stays counted, unless it could not be heard, for which nobody is to
        pay. Without one, what failed before is forgotten (LOG-07); but to the address only this attempt is given back,
        or it could buy guesses at other accounts with one of its own."""
        spent = await self._spend(*wanted)
        try:
            yield
        except Unavailable:
            await self._give_back(spent, [each.interval for each in spent.budgets])
            raise
        one = Limiter.LOGIN_ADDRESS
        await self._give_back(spent, [each.interval if each.limiter is one else each.whole for each in spent.budgets])

    # --- People

    async def registration(self, address: Address | None) -> None:
        await self._spend((Limiter.REGISTRATION, prefix_of(address)))

    # --- Clients: counted by this process. What one of them may take is a share of it, and to ask Redis would cost half
    # as much as to mint a token.

    def token(self, client: Client, address: Address | None) -> None:
        self._spend_here(Limiter.TOKEN, *_names(client, address))

    def admits_token(self, client: Client) -> bool:
        """As `token`, of a confidential client; a refusal is neither counted nor told."""
        return self._admits(Limiter.TOKEN, client)

    def revocation(self, client: Client, address: Address | None) -> None:
        self._spend_here(Limiter.REVOCATION, *_names(client, address))

    def pushed_request(self, client: Client, address: Address | None) -> None:
        self._spend_here(Limiter.PUSHED_REQUEST, *_names(client, address))

    def introspection(self, client: Client) -> None:
        self._spend_here(Limiter.INTROSPECTION, client.client_id)

    def admits_introspection(self, client: Client) -> bool:
        """As `introspection`; a refusal is neither counted nor told."""
        return self._admits(Limiter.INTROSPECTION, client)

    def _admits(self, limiter: Limiter, client: Client) -> bool:
        budget = self._client_budget(limiter, client.client_id)
        return budget is None or self._local.spend_one(budget) is None

    def failed_authentication(self, client_id: str, address: Address | None) -> None:
        """Somebody was not the client they said they were (GEN-10)."""
        # Not remembered: names that strangers make up would drive out those of clients.
        self._spend_local(self._budget(Limiter.CLIENT_AUTHENTICATION, client_id, prefix_of(address)))

    # --- How it is counted

    async def _spend(self, *wanted: Who) -> _Spent:
        budgets = self._budgets(wanted)
        if self._shared is not None and budgets:
            with suppress(CacheAway):
                self._check(await self._shared.spend(budgets))
                return _Spent(budgets, self._shared)
        self._check(self._local.spend(budgets))
        return _Spent(budgets, None)

    def _spend_here(self, limiter: Limiter, *who: str) -> None:
        self._spend_local(self._client_budget(limiter, *who))

    def _spend_local(self, budget: Budget | None) -> None:
        if budget is not None:
            self._check(self._local.spend_one(budget))

    def _budget(self, limiter: Limiter, *who: str) -> Budget | None:
        limit = self._allowed.get(limiter)
        return None if limit is None else budget_of(limiter, limit, *who)

    async def _give_back(self, spent: _Spent, amounts: Sequence[int]) -> None:
        """Where it was counted, and nowhere else. If Redis has gone away since, it grows back by itself."""
        if spent.store is None:
            self._local.give_back(spent.budgets, amounts)
        else:
            with suppress(CacheAway):
                await spent.store.give_back(spent.budgets, amounts)

    def _budgets(self, wanted: Sequence[Who]) -> Sequence[Budget]:
        limits = self._allowed
        return [budget_of(limiter, limits[limiter], *who) for limiter, *who in wanted if limiter in limits]

    def _check(self, refusal: Refusal | None) -> None:
        if refusal is None:
            return
        budget, wait = refusal
        self._count[budget.limiter].inc()
        event = Event.AUTHN_LOGIN_FAIL_MAX if budget.limiter in _PASSWORDS else Event.EXCESS_RATE_LIMIT_EXCEEDED
        self._audit.observe(self._audit.build(event, limiter=budget.limiter))
        raise TooManyAttempts(retry_after=whole_seconds(wait))


def _names(client: Client, address: Address | None) -> tuple[str, ...]:
    """Anybody can call themselves a public client: what one does in its name is not the others' to pay for."""
    return (client.client_id, prefix_of(address)) if client.is_public else (client.client_id,)

"""A client sends its user to be logged out here (OpenID Connect RP-Initiated Logout): what becomes of that.

As with authorization requests there is one decision, made anew whenever the user comes back, and nothing is kept for a
request that waits.
"""

from dataclasses import dataclass, field

from authsvc.clock import Clock
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.keys import SigningKeys
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.flows.subjects import Subjects
from authsvc.logs import get_logger
from authsvc.models import Client, Session
from authsvc.protocol import id_token, jwt, logout
from authsvc.protocol.forms import Form
from authsvc.protocol.logout import Asked, Hint, LogoutRequest, Step
from authsvc.protocol.subjects import PLAIN
from authsvc.tables import inherited_clients
from authsvc.tables.db import Database

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PendingLogout:
    request: LogoutRequest
    sealed: str = field(repr=False)
    client: Client | None
    """Who asks, as far as that is known."""

    @property
    def location(self) -> str | None:
        """Where the user goes who is out. None: they stay here."""
        return logout.build_location(self.request)


class LogoutRequests:
    def __init__(
        self,
        db: Database,
        copies: ClientCopies,
        keys: SigningKeys,
        subjects: Subjects,
        secret: SealedSecret,
        clock: Clock,
        *,
        issuer: str,
    ) -> None:
        self._db = db
        self._copies = copies
        self._keys = keys
        self._subjects = subjects
        self._secret = secret
        self._clock = clock
        self._issuer = issuer

    async def begin(self, form: Form) -> PendingLogout:
        """A request as it comes from a client.

        Raises:
            InvalidRequest: a parameter came more than once.
            NoRecipient: it contradicts itself, or is too long.
            Unavailable.
        """
        asked = logout.parse_asked(form)
        hint = await self._find_hint(asked)
        client = await self._find_client(logout.find_client_id(asked, hint))
        request = logout.build_request(asked, hint, client)
        if asked.redirect_uri is not None and request.redirect_uri is None:
            named = None if client is None else client.client_id
            log.info("nobody is sent to a post_logout_redirect_uri that is not registered", client_id=named)
        sealed = logout.seal(await self._secret.get(), request, self._clock.now())
        return PendingLogout(request, sealed, client)

    async def resume(self, sealed: str | None) -> PendingLogout:
        """One that has waited for its user. Raises Unavailable."""
        request = logout.open_sealed(await self._secret.get(), sealed or "", self._clock.now())
        client = await self._find_client(request.client_id)
        if request.redirect_uri is not None and (client is None or not logout.may_go_to(client, request.redirect_uri)):
            request = LogoutRequest(hint=request.hint, ui_locales=request.ui_locales)
        return PendingLogout(request, sealed or "", client)

    async def decide(self, pending: PendingLogout, session: Session | None) -> Step:
        """What comes next, in a browser with this session. Raises Unavailable."""
        hint, names, replaced = pending.request.hint, PLAIN, frozenset[str]()
        if session is not None and hint is not None:
            copy = await self._copies.find(hint.client_id)  # a client that is disabled by now is believed, too
            names = PLAIN if copy is None else await self._subjects.names_for(copy.client)
            if hint.sub == names.of_user(session.sub) and hint.sid != names.of_session(session.sid):
                replaced = await inherited_clients.list_names(self._db, session.sid, hint.client_id)
        return logout.next_step(pending.request, session, names, replaced)

    async def _find_client(self, client_id: str | None) -> Client | None:
        copy = None if client_id is None else await self._copies.find(client_id)
        return None if copy is None or copy.client.disabled_at is not None else copy.client

    async def _find_hint(self, asked: Asked) -> Hint | None:
        if asked.id_token_hint is None:
            return None
        await self._keys.catch_up()
        verified = jwt.verify(asked.id_token_hint, self._keys.ring.hint_verifiers, typ=id_token.TYP)
        return None if isinstance(verified, jwt.Rejected) else Hint.read(verified.claims, self._issuer)

"""The forms of our own pages: each is good for one purpose, in the browser that was given it (CSR-01, CSR-02)."""

from authsvc.entropy import Entropy, mint_secret
from authsvc.flows.audit import Audit
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.protocol import own_forms
from authsvc.protocol.audit import Event
from authsvc.protocol.own_forms import Purpose


class OwnForms:
    def __init__(self, secret: SealedSecret, audit: Audit, entropy: Entropy) -> None:
        self._secret = secret
        self._audit = audit
        self._entropy = entropy

    async def build_token(self, purpose: Purpose, browser: str) -> str:
        """What such a form carries in this browser. Raises Unavailable."""
        return own_forms.build_form_token(await self._secret.get(), purpose, browser)

    async def is_token(self, token: str, purpose: Purpose, browser: str) -> bool:
        """Raises Unavailable."""
        return own_forms.is_form_token(token, await self.build_token(purpose, browser))

    def mint_browser(self) -> str:
        """What a browser is known by that has no session. It opens nothing."""
        return mint_secret(self._entropy)

    def note_foreign(self) -> None:
        """Another site has sent a form of ours."""
        self._audit.observe(self._audit.build(Event.MALICIOUS_CSRF))

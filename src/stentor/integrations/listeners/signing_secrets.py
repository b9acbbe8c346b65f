"""What notices are signed with: one secret per client, by generation, so that it can be changed without a missed notice."""

import base64
import hmac
from datetime import timedelta
from uuid import UUID

from stentor.channels.webhook.signing import PREFIX

BOTH_FOR = timedelta(hours=24)
"""How long notices carry signatures with the old secret and the new one."""


class SigningSecrets:
    """The clients' secrets. `key`: 32 bytes derived from the installation's secret for this purpose alone."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def secret(self, client_id: UUID, generation: int) -> str:
        """`whsec_…`, as Standard Webhooks writes it. Another installation secret makes others of all of them."""
        digest = hmac.digest(self._key, b"%b %d" % (client_id.bytes, generation), "sha256")
        return PREFIX + base64.b64encode(digest).decode()

    def in_use(self, client_id: UUID, generation: int, *, is_new: bool) -> str:
        """The secrets of one moment with a blank between them, the newest first."""
        secrets = [self.secret(client_id, generation)]
        if is_new and generation > 1:
            secrets.append(self.secret(client_id, generation - 1))
        return " ".join(secrets)

"""What hubs tell our listeners: written down before it is answered, once whatever is told twice."""

from stentor.accounts.sealing import LinkTokens
from stentor.db.pool import Database
from stentor.errors import Invalid, NotFound
from stentor.failpoints import failpoint
from stentor.integrations.connector import runs, store
from stentor.integrations.connector.syncing import LINK
from stentor.integrations.connector.wire import CANCELLED, EXECUTED, PROCESSED, Garbled, notice_of

NOTICE_BYTES_MAX = 64 * 1024


class Receiver:
    """Takes notices in."""

    def __init__(self, db: Database, links: LinkTokens) -> None:
        self._db = db
        self._links = links

    async def take(self, token: str, body: bytes) -> None:
        """Writes down what the notice says. Events that mean nothing to us are passed over.

        Raises NotFound for an address that is none of ours, and Invalid for a body that is no notice.
        """
        connector_id = self._links.read(LINK, token)
        async with self._db.read() as conn:
            brand_id = None if connector_id is None else await store.brand_of(conn, connector_id)
        if connector_id is None or brand_id is None:
            raise NotFound("Nobody listens here.")
        try:
            said = notice_of(body)
        except Garbled as trouble:
            raise Invalid(str(trouble)) from trouble
        if said.event not in {PROCESSED, CANCELLED, EXECUTED} or said.campaign_number is None:
            return
        async with self._db.transaction() as conn:
            # Nobody takes a channel away while the run for it is written.
            connector = await store.lock(conn, brand_id, connector_id)
            if connector is None:
                raise NotFound("Nobody listens here.")
            ours = [one.number for one in connector.channels if said.channel_number in {None, one.number}]
            if said.event == CANCELLED:
                await runs.cancel(conn, brand_id, connector_id, said.campaign_number, said.channel_number)
            else:
                await runs.notice(conn, brand_id, connector_id, said.campaign_number, ours)
            await store.note_well(conn, brand_id, connector_id, "noticed")
            failpoint("connector.before_notice")
        failpoint("connector.after_notice")

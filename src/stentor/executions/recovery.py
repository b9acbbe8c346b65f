"""What happens to a wave whose worker was never heard of again."""

import structlog

from stentor.db.connection import Connection
from stentor.deliver import store as deliver
from stentor.deliver.model import Claim
from stentor.domain.vocabulary import Reason, SendState
from stentor.guard import contacts
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

GIVEN_UP_AFTER = 3
"""How many workers may be lost with the same chunk on the wire; then perhaps it is the chunk that kills them."""


async def recover(conn: Connection, claim: Claim, *, resend: bool, perhaps_accepted: bool) -> None:
    """Closes the waves that an earlier owner left open.

    Their unsettled sends were perhaps on the wire: they are in doubt, named and counted as `unknown`, unless the sender
    is one whose sends are repeated; then they are pending still. Frequency caps count what was perhaps accepted either way.
    What three workers were lost with is repeated by nobody. Of several chunks the claim keeps the first, and the others go
    their own ways, so that what kills a worker is soon alone.
    """
    standing = await deliver.standing(conn, claim)
    moves = Moves(claim.brand_id)
    for chunk in claim.chunks:
        if not chunk.has_open_waves or (chunk.execution_id, chunk.number) not in standing:
            continue
        is_given_up = resend and await deliver.times_lost(conn, chunk) + 1 >= GIVEN_UP_AFTER
        doubtful, again = perhaps_accepted or is_given_up, resend and not is_given_up
        for lost in await deliver.lost_waves(conn, chunk):
            people = [(chunk.execution_id, customer) for customer in await deliver.left_pending(conn, chunk, lost)]
            if doubtful:
                await contacts.settle(conn, claim.brand_id, claim.channel, in_doubt=people)
            else:
                await contacts.settle(conn, claim.brand_id, claim.channel, refused=people)
            in_doubt = await deliver.settle_lost(conn, chunk, lost, resend=again) if doubtful else 0
            if in_doubt and not again:
                moves.settled(chunk.execution_id, chunk.channel, SendState.UNKNOWN, Reason.NONE, in_doubt)
            log.warning(
                "wave.lost", execution_id=str(chunk.execution_id), chunk=chunk.number, in_doubt=in_doubt, resend=again
            )
        await deliver.mark_lost(conn, chunk)
    await deliver.release(conn, claim, claim.chunks[1:], delay_s=0.0)
    await moves.write(conn)

import asyncio
from collections import Counter
from email import message_from_bytes, policy
from typing import Any

import pytest
import structlog
from aiosmtpd.smtp import SMTP

from account_world import HOME, PASSWORD, People
from stentor.accounts import letter_store, test_recipients
from stentor.accounts.attempts import CODES_PER_ADDRESS_MAX, CODES_PER_ORGANISATION, CODES_PER_ORGANISATION_MAX
from stentor.accounts.letters import LETTER_TRIES_MAX, LetterKeeper
from stentor.accounts.mail import SmtpMailer
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import RateLimited

pytestmark = pytest.mark.anyio


class Relay:
    """Takes letters, or refuses them."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.refusal = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


async def test_letters_go_out_with_links_that_work_and_none_to_strangers(db: Database):
    people, relay = await People.made(db), Relay()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(relay, hostname="here"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mailer = SmtpMailer(f"smtp://127.0.0.1:{port}", "stentor@example.org", people.clock)
    keeper = LetterKeeper(db, mailer, people.links, "https://stentor.example.org")
    try:
        await people.user("ann@example.org")
        await people.sign_in.forgotten("Ann@Example.org", HOME)
        await people.sign_in.forgotten("nobody@example.org", HOME)
        await people.invitations.invite(
            "ben@example.org", organisation_id=people.brand.organisation_id, role="viewer", owners_too=False
        )
        relay.refusal = "451 <ann@example.org> has to wait"
        with structlog.testing.capture_logs() as logged:
            refused = await keeper.send_due()
        relay.refusal = ""
        waits = await keeper.send_due()
        await _make_due(db)
        sent = [await keeper.send_due(), await keeper.send_due()]
    finally:
        server.close()

    assert (refused, waits, sent) == (0, 0, [2, 0])
    assert any("has to wait" in one["why"] for one in logged if one["event"] == "letter.refused")
    assert "@" not in str(logged)
    by_address = {letter["To"]: letter for letter in relay.letters}
    assert by_address.keys() == {"ann@example.org", "ben@example.org"}
    password = by_address["ann@example.org"].get_content().partition("/console/password/")[2].split()[0]
    invitation = by_address["ben@example.org"].get_content().partition("/console/invitation/")[2].split()[0]
    assert (await people.sign_in.by_link(password, "another good phrase", HOME, instead_of=None)).is_whole
    came = await people.joining.accept(
        invitation, email=None, name="Ben", password=PASSWORD, origin=HOME, instead_of=None
    )
    assert (await people.who(came)).user.email == "ben@example.org"
    assert by_address["ann@example.org"]["Auto-Submitted"] == "auto-generated"


async def test_a_letter_that_nobody_takes_is_given_up_at_last(db: Database):
    people = await People.made(db)
    mailer = SmtpMailer("smtp://127.0.0.1:9", "stentor@example.org", people.clock)
    keeper = LetterKeeper(db, mailer, people.links, "https://stentor.example.org")
    await people.invitations.invite(
        "ben@example.org", organisation_id=people.brand.organisation_id, role="viewer", owners_too=False
    )

    for _ in range(LETTER_TRIES_MAX + 1):
        await keeper.send_due()
        await _make_due(db)

    assert await _letters(db) == 0


async def test_codes_for_test_recipients_flood_no_address_and_no_relay(db: Database):
    people = await People.made(db)
    other = await people.accounts.create_brand("Hockey")
    recipients = test_recipients.TestRecipientService(db, people.links, people.attempts, sends_mail=True)
    for _ in range(CODES_PER_ADDRESS_MAX):
        added = await recipients.add(people.brand, "Editor@example.org", "")
        await recipients.remove(people.brand.id, added.id)

    for brand in (people.brand, other):
        with pytest.raises(RateLimited):
            await recipients.add(brand, "editor@EXAMPLE.org", "")

    assert await _letters(db) == CODES_PER_ADDRESS_MAX
    assert await recipients.page(other.id, after=None, limit=1) == []
    left = CODES_PER_ORGANISATION_MAX - CODES_PER_ADDRESS_MAX
    await people.attempts.take(*[(CODES_PER_ORGANISATION, people.brand.organisation_id.hex)] * left)
    with pytest.raises(RateLimited):
        await recipients.add(people.brand, "another@example.org", "")


async def test_many_letters_of_one_kind_keep_no_other_waiting(db: Database):
    ours = new_id()
    async with db.transaction() as conn:
        for _ in range(30):
            await letter_store.insert_letter(conn, "test_recipient", new_id(), ours)
        await letter_store.insert_letter(conn, "invitation", new_id(), ours)
        await letter_store.insert_letter(conn, "password", new_id(), ours)

    async with db.transaction() as conn:
        first = await letter_store.claim_due(conn, 20)
        second = await letter_store.claim_due(conn, 20)

    assert Counter(one.kind for one in first) == {"test_recipient": 18, "invitation": 1, "password": 1}
    assert [one.kind for one in second] == ["test_recipient"] * 12


async def test_many_letters_of_some_organisations_keep_no_other_organisations_waiting(db: Database):
    people = await People.made(db)
    await people.user("ann@example.org")
    async with db.transaction() as conn:
        for theirs in [new_id() for _ in range(5)]:
            for _ in range(8):
                await letter_store.insert_letter(conn, "password", new_id(), theirs)
                await letter_store.insert_letter(conn, "invitation", new_id(), theirs)
        for _ in range(30):
            # Asked for with addresses of nobody: together they are one more.
            await letter_store.insert_letter(conn, "password", new_id())
    await people.sign_in.forgotten("ann@example.org", HOME)
    await people.invitations.invite(
        "ben@example.org", organisation_id=people.brand.organisation_id, role="viewer", owners_too=False
    )

    async with db.transaction() as conn:
        turns = {
            row[0]: row[1] for row in await (await conn.execute("SELECT id, turn_of FROM account_letter")).fetchall()
        }
        few = [turns[letter.id] for letter in await letter_store.claim_due(conn, 3)]
        rest = Counter(turns[letter.id] for letter in await letter_store.claim_due(conn, 11))

    assert (few.count(people.brand.organisation_id), len(set(few))) == (1, 3)
    assert rest[people.brand.organisation_id] == 1
    assert sorted(rest.values()) == [1, 1, 1, 2, 2, 2, 2]


async def _make_due(db: Database) -> None:
    async with db.transaction() as conn:
        await conn.execute(b"UPDATE account_letter SET due_at = created_at")


async def _letters(db: Database) -> int:
    async with db.read() as conn:
        row = await (await conn.execute(b"SELECT count(*) FROM account_letter")).fetchone()
        return 0 if row is None else row[0]

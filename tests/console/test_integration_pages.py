"""What outside services fetched and were told, in the console."""

import pytest

from browsing import form_token
from console_world import OWN, ConsoleWorld, a_campaign, a_pull, a_run
from stentor.audience.segments import expressions as ex
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.listeners.bodies import met

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_a_listeners_last_calls_are_shown_without_people_and_sent_again_by_admins(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await services.partner_channels.create(brand.id, "Texts", ChannelKind.SMS, number=505)
    client = (await services.hub_clients.create(brand.id, HOSTILE, "sms-house", {505: ["Phone"]})).client
    listener = await services.listeners.register(brand.id, client.id, 11, "https://partner.example.org/", 505)
    body = met(
        customer="crm-77", campaign=324, channel=505, template=7, promo_codes=["SECRET"], notes="for her"
    ).decode()
    notices = [new_id(), new_id()]
    async with console.core.db.transaction() as conn:
        for notice, outcome, status in ((notices[0], "delivered", 200), (notices[1], "given_up", 500)):
            await conn.execute(
                "INSERT INTO notice (id, brand_id, listener_id, event, body, made_at, due_at, tries, status, answer, answered_at,"
                " ended_at, outcome) VALUES (%s, %s, %s, 'trigger_met', %s, statement_timestamp() - interval '1 minute',"
                " statement_timestamp(), 3, %s, %s, statement_timestamp(), statement_timestamp(), %s)",
                [notice, brand.id, listener.id, body, status, HOSTILE, outcome],
            )
    at, reader = await console.enters("admin"), await console.enters("viewer")
    client_page = f"{console.root}/partners/clients/{client.id}"
    page = f"{client_page}/listeners/{listener.id}"

    shown = (await reader.get(page)).text
    failed = (await reader.get(f"{page}?state=given_up")).text
    token = {"form_token": form_token(await at.get(page))}
    again = await at.post(f"{page}/notices/{notices[0]}/replay", data=token, headers=OWN)
    none = await at.post(f"{page}/notices/{new_id()}/replay", data=token, headers=OWN)
    waiting = await services.listeners.notices(brand.id, listener.id, state="waiting")

    assert page in (await reader.get(client_page)).text
    assert "324" in shown
    assert not any(secret in shown for secret in ("crm-77", "SECRET", "for her", HOSTILE))
    assert f"msg_{notices[1].hex}" in failed
    assert f"msg_{notices[0].hex}" not in failed
    assert (again.status_code, none.status_code) == (200, 404)
    assert [one.id for one in waiting] == [notices[0]]
    assert "/replay" not in shown


async def test_a_pull_tells_who_fetched_what_and_who_said_no_since(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await services.partner_channels.create(brand.id, "Texts", ChannelKind.SMS, number=505)
    segment = await services.segments.create(brand.id, "All", ex.Known(field="phone"))
    execution = await a_run(console, (await a_campaign(console, brand.id)).id, segment.id)
    pull = await a_pull(console, brand.id, execution, 505, rows=10_482_117)
    at = await console.enters("viewer")

    listed = (await at.get(f"{console.root}/partners/pulls")).text
    page = (await at.get(f"{console.root}/partners/pulls/{pull}")).text
    told = await services.pulls.pull(brand.id, pull)

    assert (told.rows, told.handed_over_rows, told.revoked) == (10_482_117, 1, 1)
    assert "10,482,117" in listed
    assert f"/partners/pulls/{pull}" in listed
    assert "1 to 1" in page
    assert "unsubscribed" in page
    assert "&lt;b&gt;house" in page
    assert "<b>house</b>" not in page + listed

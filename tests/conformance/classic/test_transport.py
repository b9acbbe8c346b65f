"""What clients force upon paths, names, statuses and lengths, whichever function they call."""

import pytest
from httpx import AsyncClient, Response

from hub_world import Partner
from stentor.api.services import Services

pytestmark = pytest.mark.anyio

TEMPLATES = [{"TemplateID": 7, "TemplateName": "Welcome"}]


def _is_plain(answer: Response, status: int, text: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"].startswith("text/plain")
        and answer.headers["content-length"] == str(len(answer.content))
        and answer.text == text
    )


@pytest.mark.fact("F4.1.1", "F4.1.2", "F4.1.3", "F4.1.4", "F4.1.5", "F4.1.6", "F4.1.7", "F4.1.8", "F4.1.9", "F4.1.11")
async def test_paths_names_and_ids_are_taken_as_clients_write_them(partner: Partner) -> None:
    added = [
        await partner.tell("/current/integrations/AddChannelTemplates", TEMPLATES, ChannelID=505),
        await partner.tell(
            "/Integrations/addchanneltemplates", [{"templateid": "8", "TEMPLATENAME": "Bye"}], channelId="505"
        ),
        await partner.tell(
            "/V3.0/INTEGRATIONS/AddChannelTemplates/", [{"TemplateId": 9, "templateName": "Hi"}], CHANNELID=505
        ),
    ]
    listed = [
        await partner.ask(f"{version}/integrations/GetChannelTemplates", ChannelID=505)
        for version in ("/current", "/v3.0", "/v1.6", "", "/CURRENT")
    ]
    paged = [
        await partner.http.get(
            f"/current/customers/GetCustomerActionDetailsByDate?Date=2026-11-20&{paging}",
            headers={"X-API-KEY": partner.credentials.api_key},
        )
        for paging in ("$top=5&$skip=0", "%24top=5&%24skip=0", "top=5&skip=0", "%2524top=5")
    ]

    for answer in added:
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert {answer.text for answer in listed} == {
        '[{"TemplateID":7,"TemplateName":"Welcome"},{"TemplateID":8,"TemplateName":"Bye"},{"TemplateID":9,"TemplateName":"Hi"}]'
    }
    for answer in [*added, *listed, *paged]:
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(answer.content))
        assert "transfer-encoding" not in answer.headers
    assert [answer.text for answer in paged] == ["[]"] * 4


@pytest.mark.fact("F4.1.10", "F4.7.1", "F4.7.2", "F4.7.3", "F4.7.4", "F4.7.5")
async def test_errors_are_text_of_a_few_statuses(partner: Partner) -> None:
    path = "/current/integrations/GetChannelTemplates"

    assert _is_plain(await partner.ask(path), 400, "`/ChannelID` is needed.")
    assert (await partner.ask(path, ChannelID="five")).status_code == 400
    assert (await partner.ask(path, ChannelID=-1)).status_code == 400
    assert _is_plain(await partner.ask(path, headers={}, ChannelID=505), 401, "Unauthorized")
    assert _is_plain(
        await partner.ask(path, headers={"Authorization-Token": "eyJ"}, ChannelID=505),
        403,
        "Authorization-Token Expired",
    )
    assert _is_plain(await partner.ask("/current/actions/GetCampaignDetails", CampaignID=1), 404, "Not Found")
    assert _is_plain(await partner.ask("/groups/GetTargetGroupName", TargetGroupID=1), 404, "Not Found")
    for unknown in ("/current/general/GetWeather", "/current/general", "/customers", "/Customers/1/2/3", "/model/"):
        assert _is_plain(await partner.ask(unknown), 405, "Method Not Allowed")
    wrong_verbs = [
        await partner.tell(path, {}, ChannelID=505),
        await partner.http.delete(path),
        await partner.ask("/current/general/Login", username="a", password="b"),
    ]
    assert [answer.status_code for answer in wrong_verbs] == [405, 405, 405]
    assert wrong_verbs[0].headers["allow"] == "GET, HEAD, OPTIONS"


async def test_head_has_the_head_of_a_get_and_options_the_verbs(partner: Partner) -> None:
    key = {"X-API-KEY": partner.credentials.api_key}

    head = await partner.http.head("/current/integrations/GetChannelTemplates?ChannelID=505", headers=key)
    options = await partner.http.options("/current/integrations/AddChannelTemplates")

    assert (head.status_code, head.headers["content-length"], head.content) == (200, "2", b"")
    assert (options.status_code, options.headers["allow"], options.content) == (200, "OPTIONS, POST", b"")


@pytest.mark.fact("F4.7.6")
async def test_one_call_too_many_is_answered_with_the_documented_body(
    partner: Partner, stranger: Partner, services: Services
) -> None:
    await services.accounts.update_brand_settings(partner.brand.id, {"hub_rate_per_10_s": 2})
    path = "/current/general/GetLastDataUpdate"

    # The brand's settings are remembered for half a second, so the first calls may go by the old ones.
    answers = [await partner.ask(path) for _ in range(3)]
    while answers[-1].status_code == 200:
        answers.append(await partner.ask(path))

    assert answers[-1].status_code == 429
    assert answers[-1].json() == {
        "status": 429,
        "error": "Too Many Requests",
        "message": "You have exceeded the rate limit for this API group. Please retry later.",
    }
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert (await stranger.ask(path)).status_code == 200


@pytest.mark.fact("F4.7.7")
async def test_what_breaks_on_our_side_is_a_500_in_text(partner: Partner, services: Services) -> None:
    await services.database.aclose()

    answer = await partner.ask("/current/general/GetLastDataUpdate")

    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/plain")


async def test_hostile_bodies_and_queries_are_refused_in_words(partner: Partner) -> None:
    add = "/current/integrations/AddChannelTemplates"
    key = {"X-API-KEY": partner.credentials.api_key}

    async def posted(content: bytes) -> Response:
        return await partner.http.post(f"{add}?ChannelID=505", headers=key, content=content)

    assert (await posted(b"")).status_code == 400
    assert "line 1" in (await posted(b"[{]")).text
    assert (await posted(b'{"TemplateID":1,"TemplateName":"x"}')).status_code == 400
    assert (await posted(b'[{"TemplateID":1,"templateid":2,"TemplateName":"x"}]')).text.endswith("Send it once.")
    assert (await posted(b"[" * 100_000)).status_code == 400
    assert (await posted(b'[{"TemplateID":99999999999,"TemplateName":"x"}]')).status_code == 400
    assert (await posted(b'[{"TemplateID":1,"TemplateName":"\\u0000"}]')).status_code == 400
    assert (await posted(b'[{"TemplateID":1,"TemplateName":"\xff"}]')).status_code == 400
    assert (await posted(b" " * 2_000_000)).status_code == 400
    twice = await partner.http.get("/integrations/GetChannelTemplates?ChannelID=505&channelid=506", headers=key)
    assert (twice.status_code, twice.text) == (400, "`ChannelID` is there twice. Ask about one at a time.")
    assert (await partner.ask("/current/integrations/GetChannelTemplates", ChannelID=505)).text == "[]"
    day = "/current/customers/GetCustomerActionDetailsByDate"
    assert (await partner.ask(day, Date="2026-11-20", top=-1)).status_code == 400
    assert (await partner.ask(day, Date="2026-13-20")).status_code == 400
    assert (await partner.ask(day, Date="9999-12-31", skip=2_000_000_000)).text == "[]"
    assert (await partner.ask(day, Date="0001-01-01")).text == "[]"


async def test_a_page_of_ours_is_none_of_theirs(http: AsyncClient) -> None:
    assert (await http.get("/v1/groups")).status_code == 404
    assert (await http.get("/health")).status_code == 200
    assert (await http.get("/currently/general/Login")).headers["content-type"] == "application/problem+json"

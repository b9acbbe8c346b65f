"""Checks of transport and of logging in."""

from stentor.cli.conformance.checks import Checks, NotTried, expect
from stentor.cli.conformance.partner import Answer, Partner

entering = Checks[Partner]()

_DAY = "/current/general/GetLastDataUpdate"
_TEMPLATES = "/current/integrations/GetChannelTemplates"


def _is_text(answer: Answer, status: int, text: str) -> bool:
    return answer.status == status and answer.text.strip('"') == text


async def _log_in(partner: Partner, path: str, user: str, password: str, said: str = "") -> Answer:
    if not partner.target.username:
        raise NotTried("it needs --username and --password")
    secret = said or partner.target.password
    return await partner.call(path, body={user: partner.target.username, password: secret}, headers={})


@entering.check("F4.2.2", "Login answers a token as a JSON string")
async def login(partner: Partner) -> None:
    answer = await _log_in(partner, "/current/general/Login", "Username", "Password")
    expect(answer.status == 200, "200", answer)
    token = answer.json()
    expect(isinstance(token, str) and token != "", "a JSON string", "something else")
    partner.token = token


@entering.check("F4.1.5", "Login takes username and password in any casing")
async def login_in_lower_case(partner: Partner) -> None:
    answer = await _log_in(partner, "/current/general/login", "username", "password")
    expect(answer.status == 200 and isinstance(answer.json(), str), "200 and a token", answer.status)


@entering.check("F4.2.7", "wrong credentials are a 401")
async def wrong_password(partner: Partner) -> None:
    answer = await _log_in(partner, "/current/general/Login", "Username", "Password", "not the password")
    expect(answer.status == 401, "401", answer)


@entering.check("F4.2.4", "a token opens the API")
async def token(partner: Partner) -> None:
    if not partner.token:
        raise NotTried("nobody logged in")
    answer = await partner.call(_DAY, headers={"Authorization-Token": partner.token})
    expect(answer.status == 200, "200", answer)


@entering.check("F4.2.9", "a key opens the API without Login")
async def key(partner: Partner) -> None:
    if not partner.target.key:
        raise NotTried("it needs --key")
    answer = await partner.call(_DAY, headers={"X-API-KEY": partner.target.key})
    expect(answer.status == 200, "200", answer)


@entering.check("F4.7.2", "a call without credentials is a 401 that says Unauthorized")
async def no_credentials(partner: Partner) -> None:
    answer = await partner.call(_DAY, headers={})
    expect(_is_text(answer, 401, "Unauthorized"), "401 Unauthorized", answer)


@entering.check("F4.7.3", "an unknown token is a 403 that says Authorization-Token Expired")
async def unknown_token(partner: Partner) -> None:
    answer = await partner.call(_DAY, headers={"Authorization-Token": "00000000-0000-0000-0000-000000000000"})
    expect(
        answer.status == 403 and answer.text == "Authorization-Token Expired", "403 Authorization-Token Expired", answer
    )


@entering.check("F4.1.2", "functions are there without a version, under /v3.0 and under /v1.6")
async def versions(partner: Partner) -> None:
    for version in ("", "/v3.0", "/v1.6"):
        answer = await partner.call(f"{version}/general/GetLastDataUpdate")
        expect(answer.status == 200, f"200 from {version}/general/GetLastDataUpdate", answer)


@entering.check("F4.1.3", "a path is read in any casing")
async def path_casing(partner: Partner) -> None:
    for path in ("/Current/General/GETLASTDATAUPDATE", "/current/general/getlastdataupdate"):
        answer = await partner.call(path)
        expect(answer.status == 200, f"200 from {path}", answer)


@entering.check("F4.1.4", "names in a query are read in any casing")
async def query_casing(partner: Partner) -> None:
    for name in ("ChannelID", "channelId", "CHANNELID"):
        answer = await partner.call(_TEMPLATES, {name: partner.target.channel})
        expect(answer.status == 200, f"200 with {name}", answer)


@entering.check("F4.1.8", "every answer says its length, and none is chunked")
async def length(partner: Partner) -> None:
    for answer in (
        await partner.call(_DAY),
        await partner.call(_TEMPLATES, {"ChannelID": partner.target.channel}),
        await partner.call(_TEMPLATES),
        await partner.call(_DAY, headers={}),
    ):
        said = answer.headers.get("content-length", "no Content-Length")
        expect(said == str(len(answer.body)), f"Content-Length: {len(answer.body)}", said)
        expect(
            "transfer-encoding" not in answer.headers, "no Transfer-Encoding", answer.headers.get("transfer-encoding")
        )


@entering.check("F4.1.10", "errors are text")
async def text_errors(partner: Partner) -> None:
    answer = await partner.call(_TEMPLATES)
    media = answer.headers.get("content-type", "none")
    expect(answer.status == 400 and answer.text != "", "400 and a reason", answer)
    expect(media.startswith("text/plain"), "text/plain", media)


@entering.check("F4.7.4", "a look-up of one thing that there is not is a 404 that says Not Found")
async def missing_thing(partner: Partner) -> None:
    answer = await partner.call("/current/actions/GetCampaignDetails", {"CampaignID": 2_000_000_000})
    expect(_is_text(answer, 404, "Not Found"), "404 Not Found", answer)


@entering.check("F4.7.5", "a wrong verb and an unknown function are a 405 that says Method Not Allowed")
async def wrong_verb(partner: Partner) -> None:
    for answer in (
        await partner.call(_TEMPLATES, {"ChannelID": partner.target.channel}, body={}),
        await partner.call("/current/general/GetWhatThereIsNot"),
    ):
        expect(_is_text(answer, 405, "Method Not Allowed"), "405 Method Not Allowed", answer)


@entering.check("F4.6.1", "GetLastDataUpdate answers a day")
async def last_update(partner: Partner) -> None:
    said = await partner.get("general/GetLastDataUpdate")
    expect(isinstance(said, dict) and len(str(said.get("Date", ""))) == 10, '{"Date":"YYYY-MM-DD"}', said)


@entering.check("F4.6.2", "GetExecutionChannels lists the channel, its id in both spellings")
async def channels(partner: Partner) -> None:
    said = await partner.get("actions/GetExecutionChannels")
    mine = [one for one in said if one.get("ChannelID") == partner.target.channel == one.get("ChannelId")]
    expect(bool(mine), f"ChannelID and ChannelId {partner.target.channel}", said)

"""`/hooks/connectors/{token}`: where hubs notify the connectors that were registered there. Who has the address may post."""

from litestar import Response, post
from litestar.params import FromPath

from stentor.api.request import ApiRequest
from stentor.integrations.connector.receiving import NOTICE_BYTES_MAX

PREFIX = "/hooks"


@post("/hooks/connectors/{token:str}", include_in_schema=False, status_code=200, request_max_body_size=NOTICE_BYTES_MAX)
async def take_notice(request: ApiRequest, token: FromPath[str]) -> Response[None]:
    """Writes down that a campaign is ready, or was cancelled; answers once that is on disk."""
    await request.services.connector_notices.take(token, await request.body())
    return Response(None, status_code=200)


handlers = [take_notice]

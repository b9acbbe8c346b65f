"""The HTTP doors beside the API: pages for the people who get messages, and pages for those who send them."""

from collections.abc import Sequence

from stentor.api.app import Door
from stentor.api.proxies import client_address
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.throttle import Throttle, line_of
from stentor.clock import Clock
from stentor.console.access import InboxAccess
from stentor.console.inbox import InboxPages
from stentor.console.pages import static_routes
from stentor.pages.optout import OptoutPages
from stentor.pages.unsubscribe import UnsubscribePages
from stentor.wiring import Core


def doors(core: Core, services: Services, settings: ApiSettings) -> Sequence[Door]:
    """The doors over these services, each with the way it writes errors down."""
    clock = Clock(core.db.shift)
    access = InboxAccess(
        services.keys,
        services.brands,
        clock,
        secret=core.secret.derive("inbox-cookies"),
        host=core.settings.host,
        public_url=core.settings.public_url or "",
    )
    inbox = InboxPages(services.inbox, services.accounts, access, clock)
    unsubscribe = UnsubscribePages(
        links=core.links,
        executions=services.executions,
        subscriptions=services.subscriptions,
        brands=services.brands,
        topics=services.topics,
        caller=lambda request: client_address(request.scope, settings.trusted_proxies),
    )
    # A carrier hides thousands of people behind an address, and whoever invents addresses for a list is kept to a slow pace.
    looks, opt_outs = Throttle(per_s=20, burst=200), Throttle(per_s=2, burst=40)
    optout = OptoutPages(
        lists=services.optout_lists,
        entries=services.optout_entries,
        brands=services.brands,
        caller=lambda request: client_address(request.scope, settings.trusted_proxies),
        look_throttled=lambda request: looks.take(line_of(client_address(request.scope, settings.trusted_proxies))),
        post_throttled=lambda request: opt_outs.take(line_of(client_address(request.scope, settings.trusted_proxies))),
    )
    return (
        Door("/inbox", [inbox.routes()], inbox.error_page),
        Door("/console", [static_routes()]),
        Door(
            "/u/",
            [unsubscribe.routes(), optout.routes()],
            lambda _, failure: unsubscribe.error_page(failure.status, failure.headers),
        ),
    )

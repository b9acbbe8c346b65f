"""The demo's partner, with the channels that its kind finds at other hubs, and what it could send."""

from stentor.accounts.model import Brand
from stentor.api.services import Services
from stentor.channels.partners.attributes import FIELDS
from stentor.channels.partners.model import Credentials, NewApp, NewTemplate
from stentor.domain.vocabulary import ChannelKind

# Under the numbers that clients of such hubs are written and tested with: those of the sandbox, and those in production.
CHANNELS: tuple[tuple[int, str, ChannelKind], ...] = (
    (15, "E-mail", ChannelKind.EMAIL),
    (427, "Call centre", ChannelKind.VOICE),
    (489, "SMS", ChannelKind.SMS),
    (490, "Push", ChannelKind.PUSH),
    (493, "Web push", ChannelKind.WEB_PUSH),
    (495, "In-platform", ChannelKind.IN_APP),
    (498, "Advertising", ChannelKind.EXTERNAL),
    (502, "Sandbox call centre", ChannelKind.VOICE),
    (504, "Sandbox e-mail", ChannelKind.EMAIL),
    (505, "Sandbox SMS", ChannelKind.SMS),
    (506, "Sandbox push", ChannelKind.PUSH),
    (510, "Sandbox web push", ChannelKind.WEB_PUSH),
    (511, "Sandbox in-platform", ChannelKind.IN_APP),
)
TEMPLATES_OF = (504, 505)
"""Where the partner says that it has a template, so that a campaign can name one."""

_ATTRIBUTES = ("first_name", "last_name", "favourite_team")
_TEMPLATE = NewTemplate(7, "Match start", "gridiron")


async def welcome_partner(services: Services, brand: Brand) -> Credentials:
    """Makes the channels, and a client that executes all of them."""
    for number, name, channel in CHANNELS:
        await services.partner_channels.create(brand.id, name, channel, number=number)
    for number in TEMPLATES_OF:
        await services.partner_content.add_apps(brand.id, number, [NewApp("gridiron", "Gridiron Fan Club")])
        await services.partner_content.add_templates(brand.id, number, [_TEMPLATE])
    granted = {number: (*FIELDS, *_ATTRIBUTES) for number, _, _ in CHANNELS}
    # User names are the installation's, and a data directory may have seen a demo before.
    return await services.hub_clients.create(brand.id, "Demo partner", f"partner.{brand.brand_key}", granted)

"""A brand with people, a topic and a published campaign, made in a few statements: the stage for tests of the flow."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.store import note_policy
from stentor.audience.segments.expressions import Expression
from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import (
    Basis,
    LaneName,
    Mode,
    PartnerContent,
    PublishedContent,
    PublishedRoute,
    PublishedVariant,
)
from stentor.campaigns.steps import PublishedStep, When
from stentor.channels.service import ensure_sandbox, sandbox_sender
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.policy import BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, Reason, SendState
from stentor.executions.audiences import Audience
from stentor.optouts.service import ensure_builtin


class Sql(QuerySet, file="world.sql", package=__package__):
    add_organisation: Statement
    set_policy: Statement
    add_brand: Statement
    set_settings: Statement
    add_topic: Statement
    add_people: Statement
    note_refusals: Statement
    note_choices: Statement
    subscribe: Statement
    count_subscribers: Statement
    add_campaign: Statement
    add_publication: Statement
    add_execution: Statement
    states: Statement
    add_tag: Statement
    tag_people: Statement
    add_listener: Statement
    add_partner_channel: Statement
    add_partner_template: Statement


_NO_POLICY = CampaignPolicy()


class Someone(msgspec.Struct, frozen=True):
    """A person as a test wants them; the default is somebody with a good e-mail address and no objection.

    Masks hold `1 << channel number`. `email` None derives an address from the name.
    """

    name: str
    email: str | None = None
    channels: int = ChannelKind.EMAIL.bit
    address_mask: int = ChannelKind.EMAIL.bit
    valid_mask: int = ChannelKind.EMAIL.bit
    refused_mask: int = 0
    bounced_mask: int = 0
    complained_mask: int = 0
    shared: bool = False
    locale: str | None = None
    time_zone: str | None = None
    phone: str | None = None


class Following(msgspec.Struct, frozen=True):
    """A step of a campaign as a test wants it."""

    wait_s: int
    channels: tuple[ChannelKind, ...] = (ChannelKind.EMAIL,)
    when: When | None = None


class Partner(msgspec.Struct, frozen=True):
    """A partner channel that was made for a test, and its one template."""

    sender_id: UUID
    channel: ChannelKind
    template_id: UUID
    content: PartnerContent


class World:
    """One brand with its sandbox senders, its built-in list and one topic, `news`."""

    def __init__(self, db: Database, brand_id: UUID, topic_id: UUID) -> None:
        self.db = db
        self.brand_id = brand_id
        self.topic_id = topic_id
        self._deadlines: dict[UUID, int | None] = {}

    @classmethod
    async def made(cls, db: Database, name: str = "Brand") -> "World":
        """A new brand in that database."""
        world = cls(db, new_id(), new_id())
        organisation_id = new_id()
        async with db.transaction() as conn:
            await Sql.add_organisation.run(conn, organisation_id=organisation_id)
            await Sql.add_brand.run(
                conn,
                brand_id=world.brand_id,
                organisation_id=organisation_id,
                name=name,
                brand_key=f"br_{world.brand_id.hex[-22:]}",
            )
            await note_policy(conn, world.brand_id)
            await ensure_sandbox(conn, world.brand_id)
            await ensure_builtin(conn, world.brand_id)
            await Sql.add_topic.run(
                conn, brand_id=world.brand_id, topic_id=world.topic_id, key="news", channels=ALL_CHANNELS_MASK
            )
        return world

    async def people(self, people: Sequence[Someone]) -> list[UUID]:
        """Adds the people, subscribed to `news` on their channels; returns their ids."""
        ids = [customer_id(self.brand_id, one.name) for one in people]
        parts = [part_of(one) for one in ids]
        emails = [one.email or f"{one.name}@example.com" for one in people]
        async with self.db.transaction() as conn:
            await Sql.add_people.run(
                conn,
                brand_id=self.brand_id,
                parts=parts,
                customer_ids=ids,
                external_ids=[one.name for one in people],
                address_masks=[one.address_mask for one in people],
                valid_masks=[one.valid_mask for one in people],
                refused_masks=[one.refused_mask for one in people],
                bounced_masks=[one.bounced_mask for one in people],
                complained_masks=[one.complained_mask for one in people],
                shared=[one.shared for one in people],
                emails=emails,
                digests=[email_digest(email) for email in emails],
                locales=[one.locale for one in people],
                time_zones=[one.time_zone for one in people],
                phones=[one.phone for one in people],
                phone_digests=[None if one.phone is None else phone_digest(one.phone) for one in people],
            )
            await Sql.note_refusals.run(
                conn,
                brand_id=self.brand_id,
                parts=parts,
                customer_ids=ids,
                refused_masks=[one.refused_mask for one in people],
            )
            await self._subscribe(conn, ids, [one.channels for one in people])
            await Sql.count_subscribers.run(
                conn,
                brand_id=self.brand_id,
                topic_id=self.topic_id,
                subscribers=sum(1 for one in people if one.channels),
            )
        return ids

    async def settings(self, **settings: Any) -> None:
        """Replaces the brand's settings by these; an engine that was made before knows them within a second."""
        async with self.db.transaction() as conn:
            await Sql.set_settings.run(conn, brand_id=self.brand_id, settings=Jsonb(settings))
            await note_policy(conn, self.brand_id)

    async def choose(self, name: str, channels: int) -> None:
        """Changes a person's subscription to `news`."""
        async with self.db.transaction() as conn:
            await self._subscribe(conn, [customer_id(self.brand_id, name)], [channels])

    async def brand_policy(self, policy: BrandPolicy) -> None:
        """Changes the brand's policy; workers that run know it within a second."""
        async with self.db.transaction() as conn:
            await Sql.set_policy.run(conn, brand_id=self.brand_id, policy=Jsonb(policy))
            await note_policy(conn, self.brand_id)

    async def partner(
        self, channel: ChannelKind = ChannelKind.SMS, *, number: int = 505, template: int = 7, name: str = "Kick-off"
    ) -> Partner:
        """A partner channel of that number with its listener, and a template that its service has synced."""
        partner = Partner(new_id(), channel, new_id(), PartnerContent(number, template, name))
        async with self.db.transaction() as conn:
            await Sql.add_listener.run(
                conn, sender_id=partner.sender_id, brand_id=self.brand_id, name=f"listener-{number}", channel=channel
            )
            await Sql.add_partner_channel.run(
                conn, brand_id=self.brand_id, number=number, channel=channel, sender_id=partner.sender_id
            )
            await Sql.add_partner_template.run(
                conn, brand_id=self.brand_id, number=number, id=partner.template_id, template=template, name=name
            )
        return partner

    async def publication(
        self,
        channels: Sequence[ChannelKind] = (ChannelKind.EMAIL,),
        *,
        mode: Mode = "all",
        lane: LaneName = "bulk",
        basis: Basis = "topic",
        languages: Sequence[str] = ("en",),
        policy: CampaignPolicy = _NO_POLICY,
        text: str = "Hello",
        whens: Sequence[Expression | None] = (),
        experiment: Experiment | None = None,
        arms: Sequence[str | None] = (),
        steps: Sequence[Following] = (),
        partners: Sequence[Partner] = (),
    ) -> UUID:
        """A published campaign on these channels, sent through the brand's sandbox senders.

        `whens`: the conditions of its routes, of the first ones where they are fewer; `arms` the same of the experiment's.
        `partners`: who pulls what goes out on their channels, of several on one channel each its next route.
        """
        campaign_id, publication_id = new_id(), new_id()
        pulling: defaultdict[ChannelKind, list[Partner]] = defaultdict(list)
        for partner in partners:
            pulling[partner.channel].append(partner)

        def partner_of(kind: ChannelKind) -> Partner | None:
            """The next one on that channel; the last one has all routes that are left."""
            found = pulling[kind]
            return found.pop(0) if len(found) > 1 else next(iter(found), None)

        self._deadlines[publication_id] = policy.deadline_s
        async with self.db.transaction() as conn:

            async def routes_on(
                kinds: Sequence[ChannelKind],
                conditions: Sequence[Expression | None] = (),
                arms: Sequence[str | None] = (),
            ) -> tuple[PublishedRoute, ...]:
                return tuple(
                    [
                        _by_partner(partner, when, arm)
                        if (partner := partner_of(kind))
                        else PublishedRoute(
                            channel=kind,
                            sender_id=(await sandbox_sender(conn, self.brand_id, kind)).id,
                            template_id=new_id(),
                            template_name="News",
                            template_version=1,
                            variants=tuple(PublishedVariant(language, {"text": text}) for language in languages),
                            when=when,
                            arm=arm,
                        )
                        for kind, when, arm in zip_longest(kinds, conditions, arms)
                    ]
                )

            content = PublishedContent(
                campaign_id=campaign_id,
                campaign_name="News",
                consent_basis=basis,
                mode=mode,
                lane=lane,
                routes=await routes_on(channels, whens, arms),
                bindings={},
                context_schema=None,
                brand={"name": "Brand"},
                policy=policy,
                experiment=experiment,
            )
            await Sql.add_campaign.run(
                conn, brand_id=self.brand_id, campaign_id=campaign_id, name=f"News {campaign_id}", mode=mode, lane=lane
            )
            following: tuple[PublishedStep, ...] = ()
            for number, step in reversed(list(enumerate(steps, 1))):
                step_id = new_id()
                said = msgspec.structs.replace(
                    content,
                    routes=await routes_on(step.channels),
                    experiment=None,
                    when=step.when,
                    steps=following,
                    step=number,
                )
                following = (PublishedStep(step_id, step.wait_s), *following)
                await Sql.add_publication.run(
                    conn, brand_id=self.brand_id, publication_id=step_id, campaign_id=campaign_id, content=Jsonb(said)
                )
            content = msgspec.structs.replace(content, steps=following)
            await Sql.add_publication.run(
                conn,
                brand_id=self.brand_id,
                publication_id=publication_id,
                campaign_id=campaign_id,
                content=Jsonb(content),
            )
        return publication_id

    async def execution(
        self,
        publication_id: UUID,
        *,
        topic_key: str = "news",
        is_test: bool = False,
        context: dict[str, Any] | None = None,
        audience: Audience | None = None,
        per_hour: int | None = None,
    ) -> UUID:
        """A queued execution of that publication, for the topic, or for that audience."""
        execution_id = new_id()
        async with self.db.transaction() as conn:
            await Sql.add_execution.run(
                conn,
                brand_id=self.brand_id,
                execution_id=execution_id,
                publication_id=publication_id,
                topic_key="" if audience else topic_key,
                audience=None if audience is None else Jsonb(audience),
                context=Jsonb(context or {}),
                is_test=is_test,
                per_hour=per_hour,
                deadline_s=self._deadlines[publication_id],
            )
        return execution_id

    async def tag(self, names: Sequence[str]) -> UUID:
        """A new tag that these people have."""
        tag_id, ids = new_id(), [customer_id(self.brand_id, name) for name in names]
        async with self.db.transaction() as conn:
            await Sql.add_tag.run(conn, id=tag_id, brand_id=self.brand_id, name=str(tag_id))
            parts = [part_of(one) for one in ids]
            await Sql.tag_people.run(conn, tag_id=tag_id, brand_id=self.brand_id, parts=parts, customer_ids=ids)
        return tag_id

    async def fates(self, execution_id: UUID) -> dict[str, str]:
        """What became of each person: `handed_over`, or the state and its reason; several channels are joined by commas."""
        async with self.db.read() as conn:
            rows = await Sql.states.tuples(conn, brand_id=self.brand_id, execution_id=execution_id)
        fates: dict[str, str] = {}
        for name, _, state, reason, _ in rows:
            fate = " ".join(filter(None, (SendState(state).label, Reason(reason).label)))
            fates[name] = f"{fates[name]}, {fate}" if name in fates else fate
        return fates

    async def variants(self, execution_id: UUID) -> dict[str, int]:
        """Which language variant each person got."""
        async with self.db.read() as conn:
            rows = await Sql.states.tuples(conn, brand_id=self.brand_id, execution_id=execution_id)
        return {name: variant for name, _, _, _, variant in rows}

    async def _subscribe(self, conn: Connection, ids: Sequence[UUID], channels: Sequence[int]) -> None:
        chosen: dict[str, Any] = {
            "topic_id": self.topic_id,
            "parts": [part_of(one) for one in ids],
            "customer_ids": list(ids),
            "channels": list(channels),
        }
        await Sql.note_choices.run(conn, brand_id=self.brand_id, **chosen)
        await Sql.subscribe.run(conn, brand_id=self.brand_id, **chosen)


def _by_partner(partner: Partner, when: Expression | None, arm: str | None) -> PublishedRoute:
    content = partner.content
    return PublishedRoute(
        channel=partner.channel,
        sender_id=partner.sender_id,
        template_id=partner.template_id,
        template_name=content.template_name,
        template_version=0,
        variants=(PublishedVariant("und", {"text": f"TemplateID {content.template_number}"}),),
        when=when,
        arm=arm,
        partner=content,
    )

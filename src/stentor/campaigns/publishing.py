"""Publishing: a campaign becomes something that runs unchanged, unless its messages could have gaps."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.campaigns.content import with_line
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.guarantees import Guarantees
from stentor.campaigns.ingredients import Ingredients, RouteIngredients, StepIngredients
from stentor.campaigns.languages import ordered_languages
from stentor.campaigns.model import PartnerContent, PublishedContent, PublishedRoute, PublishedVariant, Template
from stentor.campaigns.partnered import told_in_words
from stentor.campaigns.steps import PublishedStep
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation, pointer_to
from stentor.render.analysis import FieldPath, Usage, usages
from stentor.render.compiled import MailSender
from stentor.render.errors import TemplateInvalid
from stentor.render.messages import compile_message
from stentor.render.publishing import final_parts
from stentor.render.publishing_rule import bind_names, check_against_schema
from stentor.render.scope import OTHER_PAGES

# What a worker keeps in memory for each campaign that it delivers.
PUBLICATION_CHARS_MAX = 8_000_000

# Under the reserved top-level domain that leads nowhere: what the sandbox keeps needs a From, and nobody answers it.
SANDBOX_ADDRESS = "no-reply@sandbox.invalid"


class Frozen(msgspec.Struct, frozen=True):
    """What is stored, and what to know about it. `steps`: the publications of the steps that follow, by their ids."""

    content: PublishedContent
    warnings: tuple[Violation, ...]
    steps: Mapping[UUID, PublishedContent] = msgspec.field(default_factory=dict)


class _Wording(msgspec.Struct, frozen=True):
    """One language of one template: the fields it uses as its author wrote it, and its parts as they are sent."""

    channel: ChannelKind
    template: Template
    language: str
    usages: list[Usage]
    parts: dict[str, str]


def freeze(
    ingredients: Ingredients, templates: Mapping[UUID, Template], *, context_fields: Collection[str] | None = None
) -> Frozen:
    """The publication of these ingredients and those of its steps; `templates` are theirs, in the versions that they name.

    `context_fields`: which bare names mean the context where there is no schema; None: all that are no system fields.

    Raises Invalid when a message could have a gap: for each context field that a template prints although a valid
    context may lack it, and that neither has a `default` nor stands inside an `if` on it. Fields that a person may lack,
    and those that no message has, are warnings. Without a schema no context is refused. Takes up to seconds: call it in a
    thread.
    """
    following: tuple[PublishedStep, ...] = ()
    steps: dict[UUID, PublishedContent] = {}
    warnings: tuple[Violation, ...] = ()
    # From the last one on: each step knows what follows it.
    for number, step in reversed(list(enumerate(ingredients.steps, 1))):
        frozen = _freeze(as_step(ingredients, step), templates, context_fields, f"/steps/{number - 1}")
        publication_id = new_id()
        steps[publication_id] = msgspec.structs.replace(frozen.content, step=number, when=step.when, steps=following)
        following = (PublishedStep(publication_id, step.wait_s), *following)
        warnings = (*frozen.warnings, *warnings)
    first = _freeze(ingredients, templates, context_fields)
    content = msgspec.structs.replace(first.content, steps=following)
    return Frozen(content, (*first.warnings, *warnings), steps)


def as_step(ingredients: Ingredients, step: StepIngredients) -> Ingredients:
    """What a step says, as a campaign of its own; which calls tell of the same event is asked at the first step alone."""
    return msgspec.structs.replace(
        ingredients, routes=step.routes, mode=step.mode, steps=(), experiment=None, deduplication=None
    )


def _freeze(
    ingredients: Ingredients,
    templates: Mapping[UUID, Template],
    context_fields: Collection[str] | None,
    place: str = "",
) -> Frozen:
    """One step of them, without those that follow."""
    _check_senders(ingredients, place)
    wordings = _wordings(ingredients, templates)
    schema = None if ingredients.context_schema is None else ContextSchema(ingredients.context_schema)
    found = [usage for wording in wordings for usage in wording.usages]
    fields = context_fields if schema is None else schema.guarantees.fields()
    bindings = bind_names(found, context_fields=fields)
    warnings = _check_wordings(wordings, bindings, ingredients.context_schema, _always_blank(ingredients))
    content = PublishedContent(
        campaign_id=ingredients.campaign_id,
        campaign_name=ingredients.campaign_name,
        consent_basis=ingredients.consent_basis,
        mode=ingredients.mode,
        lane=ingredients.lane,
        routes=tuple(
            _route(route, templates[route.template_id], wordings)
            if route.partner is None
            else _partnered(route, route.partner)
            for route in ingredients.routes
        ),
        bindings=bindings,
        context_schema=ingredients.context_schema,
        brand=ingredients.brand,
        policy=ingredients.policy,
        mail_sender=_mail_sender(ingredients),
        deduplication=ingredients.deduplication,
        experiment=ingredients.experiment,
        made_from=ingredients.fingerprint,
    )
    _check_size(content, place)
    return Frozen(content, warnings)


def _check_senders(ingredients: Ingredients, place: str) -> None:
    violations: list[Violation] = []
    for index, route in enumerate(ingredients.routes):
        if route.partner is not None:
            if route.is_gone:
                violations.append(_deleted_there(route.partner, f"{place}/routes/{index}/template_id"))
        elif route.sender_kind is None:
            text = f"The sender of the channel {route.channel.label} was deleted; give the route another one."
            violations.append(Violation(f"{place}/routes/{index}/sender_id", "unknown-sender", text))
        elif route.channel is ChannelKind.EMAIL and route.sender_kind != "sandbox" and not ingredients.from_address:
            text = "E-mails to real people need a From: set from_address in the brand's settings, then publish."
            violations.append(Violation("/brand/settings/from_address", "missing", text))
    _refuse(violations)


def _wordings(ingredients: Ingredients, templates: Mapping[UUID, Template]) -> list[_Wording]:
    """What the routes' templates say, language by language; a template of several routes once."""
    wordings: list[_Wording] = []
    violations: list[Violation] = []
    own = [route.template_id for route in ingredients.routes if route.partner is None]
    for template in {template_id: templates[template_id] for template_id in own}.values():
        for language in ordered_languages(template.content):
            source = template.content.variants[language]
            try:
                parts = final_parts(template.channel, source)
                wordings.append(_Wording(template.channel, template, language, usages(template.channel, source), parts))
            except TemplateInvalid as refusal:
                violations.append(_unusable(template, language, refusal))
    _refuse(violations)
    return wordings


def _always_blank(ingredients: Ingredients) -> dict[FieldPath, str]:
    """The fields that are blank in every message of this publication, each with what to do about it."""
    blank: dict[FieldPath, str] = {
        ("brand", name): f"The brand has no {name}; set it in the brand's settings, then publish."
        for name, value in ingredients.brand.items()
        if not value
    }
    if ingredients.consent_basis == "none":
        for name in ("unsubscribe_url", *OTHER_PAGES):
            blank[name,] = f"Messages of the consent basis none have no {name}; leave it out, or ask for it with if."
    return blank


def _check_wordings(
    wordings: Sequence[_Wording],
    bindings: Mapping[str, str],
    schema: Mapping[str, Any] | None,
    always_blank: Mapping[FieldPath, str],
) -> tuple[Violation, ...]:
    """What is worth a warning. Raises Invalid for what no message may be made of."""
    errors: list[Violation] = []
    warnings: list[Violation] = []
    for wording in wordings:
        findings = check_against_schema(
            wording.channel, wording.usages, bindings=bindings, schema=schema, promises=Guarantees
        )
        for finding in findings:
            text = with_line(finding.message, finding.line)
            told = errors if finding.level == "error" else warnings
            told.append(_violation(wording.template, wording.language, finding.part, "blank-field", text))
        for usage in wording.usages:
            message = always_blank.get(usage.path)
            if message and usage.printed and not usage.has_default and usage.path not in usage.given:
                text = with_line(message, usage.line)
                warnings.append(_violation(wording.template, wording.language, usage.part, "blank-field", text))
        try:
            compile_message(wording.channel, wording.parts, bindings)
        except TemplateInvalid as refusal:
            errors.append(_unusable(wording.template, wording.language, refusal))
    _refuse(errors)
    return tuple(warnings)


def _route(route: RouteIngredients, template: Template, wordings: Sequence[_Wording]) -> PublishedRoute:
    return PublishedRoute(
        channel=route.channel,
        sender_id=route.sender_id,
        template_id=template.id,
        template_name=template.name,
        template_version=template.version,
        variants=tuple(
            PublishedVariant(wording.language, wording.parts)
            for wording in wordings
            if wording.template.id == template.id
        ),
        when=route.when,
        app=route.app,
        arm=route.arm,
    )


def _partnered(route: RouteIngredients, partner: PartnerContent) -> PublishedRoute:
    return PublishedRoute(
        channel=route.channel,
        sender_id=route.sender_id,
        template_id=route.template_id,
        template_name=partner.template_name,
        template_version=route.template_version,
        variants=(told_in_words(route.channel, partner),),
        when=route.when,
        app=route.app,
        arm=route.arm,
        partner=partner,
    )


def _deleted_there(partner: PartnerContent, pointer: str) -> Violation:
    text = (
        f"TemplateID {partner.template_number} of channel {partner.channel_number} was deleted by its service, or with its channel;"
        " choose another template."
    )
    return Violation(pointer, "unknown-template", text)


def _mail_sender(ingredients: Ingredients) -> MailSender | None:
    if all(route.channel is not ChannelKind.EMAIL for route in ingredients.routes):
        return None
    return MailSender(ingredients.from_address or SANDBOX_ADDRESS, ingredients.from_name)


def _check_size(content: PublishedContent, place: str) -> None:
    size = sum(len(part) for route in content.routes for variant in route.variants for part in variant.parts.values())
    if size > PUBLICATION_CHARS_MAX:
        text = (
            f"All messages together have {size} characters; shorten templates until they have {PUBLICATION_CHARS_MAX}."
        )
        raise Invalid.field(f"{place}/routes", "too-large", text)


def _unusable(template: Template, language: str, refusal: TemplateInvalid) -> Violation:
    message = with_line(refusal.message, refusal.line)
    return _violation(template, language, refusal.part, "template-invalid", message)


def _violation(template: Template, language: str, part: str, code: str, message: str) -> Violation:
    place = pointer_to("templates", str(template.id), "variants", language, part)
    return Violation(place, code, f"Template {template.name!r}, {language}, {part}: {message}")


def _refuse(violations: Sequence[Violation]) -> None:
    if violations:
        raise Invalid(violations[0].message, violations=violations)

"""A brand's settings in the console."""

import re

import pytest

from browsing import form_token
from console_world import OWN, ConsoleWorld, a_campaign, press
from stentor.audience.model import TopicDraft
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_an_admin_changes_what_the_brand_says_and_sees_who_did(console: ConsoleWorld):
    at = await console.enters("admin")
    root = f"{console.root}/settings"
    token = {"form_token": form_token(await at.get(root))}
    said = {
        "from_name": HOSTILE,
        "from_address": "news@example.org",
        "default_time_zone": "europe/berlin",
        "color": "#1b3a6b",
    }

    wrong = await at.post(root, data={**token, **said, "from_address": "nobody", "postal_address": ""}, headers=OWN)
    saved = await at.post(root, data={**token, **said, "postal_address": "Street 1\r\nTown"}, headers=OWN)
    renamed = await at.post(f"{root}/name", data={**token, "name": HOSTILE}, headers=OWN)
    foreign = await at.post(f"{root}/name", data={**token, "name": "x"}, headers={"Origin": "https://evil.example"})
    shown = await at.get(root)
    settings = (await console.services.accounts.brand(console.brand.id)).settings

    assert (wrong.status_code, 'id="from_address-error"' in wrong.text) == (400, True)
    assert 'value="nobody"' in wrong.text
    assert (saved.status_code, renamed.status_code, foreign.status_code) == (303, 303, 403)
    assert (settings.from_name, settings.default_time_zone, settings.color) == (HOSTILE, "Europe/Berlin", "#1b3a6b")
    assert settings.postal_address == "Street 1\nTown"
    assert HOSTILE not in shown.text
    assert "Street 1\nTown</textarea>" in shown.text
    log = (await at.get(f"{root}/audit")).text
    assert log.count("<b>brand.updated</b>") == 1
    assert "<b>brand.renamed</b>" in log
    assert log.count("</b> <bdi>admin.") == 2
    assert HOSTILE not in log
    narrowed = (await at.get(f"{root}/audit?thing_kind=brand&actor_kind=key")).text
    assert "No entry is like that" in narrowed
    assert "Write a day as" in (await at.get(f"{root}/audit?first_day=soon")).text
    file = await at.get(f"{root}/audit.csv?thing_kind=brand")
    assert file.headers["content-disposition"].endswith('.spreadsheet.csv"')
    assert "brand.renamed" in file.text
    assert (await at.get(f"{root}/audit.csv?first_day=soon")).status_code == 400
    assert (await (await console.enters("marketer")).get(f"{root}/audit")).status_code == 403


async def test_limits_and_days_are_whole_numbers_and_the_logs_days_are_the_organisations(console: ConsoleWorld):
    at, owner = await console.enters("admin"), await console.enters("owner")
    page = f"{console.root}/settings/retention"
    token = {"form_token": form_token(await at.get(page))}
    said = {"sandbox_days": "7", "sandbox_messages_max": "100", "event_days": "90"}

    wrong = await at.post(page, data={**token, **said, "event_days": "a month"}, headers=OWN)
    of_brand = await at.post(page, data={**token, **said, "audit_days": "30"}, headers=OWN)
    kept = (await console.services.accounts.brand(console.brand.id)).settings
    theirs = {"form_token": form_token(await owner.get(page))}
    of_all = await owner.post(page, data={**theirs, **said, "audit_days": "30"}, headers=OWN)
    now = (await console.services.accounts.brand(console.brand.id)).settings
    limits = await at.post(
        f"{console.root}/settings/limits",
        data={
            **token,
            "run_rate_per_s": "5",
            "key_rate_per_s": "0",
            "user_rate_per_min": "1",
            "batch_rate_per_min": "1",
        }
        | {"batch_profiles_max": "50", "optout_rate_per_s": "1", "hub_rate_per_10_s": "1", "pull_within": "2d"}
        | {"metrics_mode": "add", "preferences_enabled": "yes"},
        headers=OWN,
    )
    limited = (await console.services.accounts.brand(console.brand.id)).settings

    assert (wrong.status_code, "Write a whole number." in wrong.text) == (400, True)
    assert (of_brand.status_code, kept.event_days, kept.audit_days) == (303, 90, None)
    assert (of_all.status_code, now.audit_days) == (303, 30)
    assert limits.status_code == 303
    assert (limited.run_rate_per_s, limited.metrics_mode, limited.preferences_enabled) == (5, "add", True)
    assert limited.unauthenticated_opt_in_counts is False


async def test_caps_and_quiet_hours_are_rows_and_what_only_the_api_says_stays(console: ConsoleWorld):
    services, brand = console.services, console.brand
    campaign = await a_campaign(console, brand.id)
    cap = {"at_most": 3, "per": "7d", "channels": ["sms"], "campaigns": [str(campaign.id)]}
    await services.accounts.update_brand_settings(brand.id, {"policy": {"caps": [cap]}})
    at = await console.enters("admin")
    page = f"{console.root}/settings/rules"

    shown = await at.get(page)
    more = await press(at, shown, "add q")
    typed = {"q-0-from": "21:00", "q-0-to": "08:00", "q-0-days": "mon, Sun", "h-sms": "600"}
    wrong = await press(at, more, "save", {**typed, "q-0-to": "8", "c-0-at_most": "many"})
    saved = await press(at, more, "save", {**typed, "c-0-at_most": "2"})
    late = await press(at, shown, "save")
    after = await services.accounts.brand(brand.id)
    versions = (await at.get(page)).text
    less = await press(at, await at.get(page), "remove c-0")
    gone = await press(at, less, "save")

    assert f"campaigns: {campaign.id}" in shown.text
    assert (more.status_code, 'name="q-0-from"' in more.text) == (200, True)
    assert (wrong.status_code, "Write a whole number." in wrong.text) == (400, True)
    assert (saved.status_code, late.status_code) == (303, 409)
    (kept,) = after.settings.policy.caps
    assert (kept.at_most, kept.channels, kept.campaigns) == (2, ("sms",), (campaign.id,))
    (quiet,) = after.settings.quiet_hours
    assert (quiet.from_, quiet.to, quiet.days) == ("21:00", "08:00", ("mon", "sun"))
    assert after.settings.policy.per_hour == {"sms": 600}
    assert "<b>Version 3</b>" in versions
    assert versions.count(" · <bdi>admin.") == 1
    assert gone.status_code == 303
    assert (await services.accounts.brand(brand.id)).settings.policy.caps == ()


async def test_a_developer_finds_ids_and_tokens_are_shown_once(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await services.topics.create(brand.id, TopicDraft(key="it's", name=HOSTILE, channels=ChannelKind.EMAIL.bit))
    at, developer = await console.enters("admin"), await console.enters("developer")
    page = f"{console.root}/settings/integration"
    shown = await at.get(page)
    token = {"form_token": form_token(shown)}
    other = await services.accounts.create_brand("Other")
    theirs = await services.accounts.create_key("theirs", brand_id=other.id)

    unnamed = await at.post(f"{page}/tokens", data={**token, "name": " ", "scope_run": "yes"}, headers=OWN)
    made = await at.post(
        f"{page}/tokens", data={**token, "name": HOSTILE, "scope_run": "yes", "days": "90"}, headers=OWN
    )
    secret = re.findall(r'id="made-(?:token|key)" readonly value="([^"]+)"', made.text)
    (key,) = await services.accounts.keys_of_brand(brand.id)
    calls = (await at.get(f"{console.root}/settings/developer")).text

    assert f'<dd class="mono">{brand.id}</dd>' in shown.text
    assert unnamed.status_code == 400
    assert (len(secret), made.headers["cache-control"]) == (2, "no-store")
    assert (list(key.scopes), key.brand_id) == (["run"], brand.id)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days in {89, 90}
    everything = calls + (await at.get(page)).text
    assert not any(each in everything for each in secret)
    assert HOSTILE not in everything
    assert f"x-api-key: {key.hint}•••" in calls
    assert "it&#39;\\&#39;&#39;s" in calls
    assert key.hint not in (await (await console.enters("viewer")).get(f"{console.root}/settings/developer")).text

    mine = {"form_token": form_token(await developer.get(page))}
    refused = await developer.post(f"{page}/tokens", data={**mine, "name": "x", "scope_run": "yes"}, headers=OWN)
    foreign = await developer.post(f"{page}/tokens/{theirs.number}/revoke", data=mine, headers=OWN)
    revoked = await developer.post(f"{page}/tokens/{key.number}/revoke", data=mine, headers=OWN)
    assert (refused.status_code, foreign.status_code, revoked.status_code) == (403, 404, 303)
    assert "revoked</span>" in (await at.get(f"{page}?state=ended")).text


async def test_the_organisations_log_is_for_its_own_admins(console: ConsoleWorld):
    at, of_brand = await console.enters("owner"), await console.enters("admin")
    path = f"/console/organisations/{console.brand.organisation_id}/audit"
    await console.services.accounts.rename_organisation(console.brand.organisation_id, HOSTILE)

    log = (await at.get(path)).text
    older = re.search(r"before=(\d+)", (await at.get(f"{path}?thing_kind=organisation")).text)

    assert "<b>organisation.updated</b>" in log
    assert "Matchday &lt;b&gt;" in log
    assert HOSTILE not in log
    assert older is None
    assert "organisation.updated" in (await at.get(f"{path}.csv")).text
    assert [(await of_brand.get(each)).status_code for each in (path, f"{path}.csv")] == [404, 404]
    assert (await console.browser().get(path)).status_code == 303


async def test_test_recipients_are_kept_by_admins(console: ConsoleWorld):
    at = await console.enters("admin")
    page = f"{console.root}/settings/test-recipients"
    token = {"form_token": form_token(await at.get(page))}

    wrong = await at.post(page, data={**token, "address": HOSTILE, "name": ""}, headers=OWN)
    added = await at.post(page, data={**token, "address": "editor@example.org", "name": HOSTILE}, headers=OWN)
    again = await at.post(page, data={**token, "address": "editor@example.org"}, headers=OWN)
    (one,) = await console.services.test_recipients.page(console.brand.id, after=None, limit=10)
    shown = (await at.get(page)).text
    code = await at.post(f"{page}/{one.id}/confirm", data={**token, "code": "guess"}, headers=OWN)
    removed = await at.post(f"{page}/{one.id}/remove", data=token, headers=OWN)

    assert (wrong.status_code, added.status_code, again.status_code) == (400, 303, 409)
    assert "editor@example.org" in shown
    assert HOSTILE not in shown
    assert (code.status_code, removed.status_code) == (400, 303)
    assert await console.services.test_recipients.page(console.brand.id, after=None, limit=10) == []

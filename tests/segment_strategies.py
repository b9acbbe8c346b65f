"""Expressions of every kind, for properties that hold for all of them."""

from uuid import uuid4

from hypothesis import strategies as st

from stentor.audience.segments import expressions as ex
from stentor.audience.segments.expressions import instant_in
from stentor.domain.vocabulary import CHANNEL_LABELS

TAGS, TOPICS, CAMPAIGNS = ([uuid4() for _ in range(2)] for _ in range(3))
DAYS = [
    "2026-11-23",
    "2026-12-01",
    "2027-02-28",
    "2028-02-29",
    "1988-02-29",
    "1990-11-23",
    "2026-02-29",
    "2027-04-31",
    "2026-02-30",
    "2027-13-01",
]
INSTANTS = [
    "2026-11-20T09:17:00Z",
    "2026-11-23 11:17",
    "2026-11-23T23:17:05.123456789+05:30",
    "2027-02-27t22:17:30-0330",
    "2027-02-28T24:17:00Z",
    "2026-11-23T09:17:00+16:00",
    "1900-02-29T09:17:00Z",
    "2000-02-29T09:17Z",
]
TEXTS = [
    "gold",
    "silver",
    "golden",
    "",
    "Ü",
    "it's %d",
    "DROP TABLE",
    "{}",
    "null",
    "5",
    "🎉",
    "שלום",
    *DAYS,
    *INSTANTS,
]
NUMBERS = [0, 1, 5, -3, 2.5, 1e20, 12345678901234567890, 0.1]
SCALARS = [*TEXTS, *NUMBERS, True, False]
NAMES = ["plan", "age", "na'me", 'a"b', "%(shift)s", "🎉", "seen"]
LOCALES = [None, "de", "de-AT", "den", "en-GB", "zh-Hant-TW"]
ZONES = [None, "Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"]
PHONES = [
    None,
    "+4915112345678",
    "+14155550123",
    "+14165550123",
    "+447911123456",
    "+447781123456",
    "+18005550123",
    "+79161234567",
    "+77012345678",
    "nonsense",
]
COUNTRIES = ["DE", "US", "CA", "GB", "GG", "RU", "KZ", "JM", "FR"]
KINDS = ["delivered", "bounced", "complained", "opened", "clicked", "unsubscribed"]


scalars = st.sampled_from(SCALARS)
numbers = st.sampled_from(NUMBERS)
channels = st.sampled_from(CHANNEL_LABELS)
periods = st.builds(ex.Period, days=st.integers(1, 40), hours=st.integers(0, 5))
moments = st.sampled_from([text for text in DAYS + INSTANTS if instant_in(text)])
days = st.sampled_from([text for text in DAYS if instant_in(text)])
value_lists = st.lists(scalars, min_size=1, max_size=3).map(tuple)
zones = st.sampled_from([zone for zone in ZONES if zone])
date_tests = st.one_of(
    st.builds(ex.Before, value=moments),
    st.builds(ex.After, value=moments),
    st.builds(ex.On, value=days),
    st.builds(ex.WithinLast, period=periods),
    st.builds(ex.WithinNext, period=periods),
    st.builds(ex.LongerAgo, period=periods),
    st.builds(ex.Anniversary, in_days=st.sampled_from([0, 1, 8, 92]), time_zone=zones),
)
bounds = st.tuples(numbers, numbers).map(sorted)
tests = st.one_of(
    st.builds(ex.Is, value=scalars),
    st.builds(ex.IsNot, value=scalars),
    st.builds(ex.In, values=value_lists),
    st.builds(ex.NotIn, values=value_lists),
    st.builds(ex.Exists),
    st.builds(ex.Missing),
    st.builds(ex.Contains, value=scalars),
    st.builds(ex.StartsWith, value=st.sampled_from(["gol", "2026", "it's %", "Ü", "5"])),
    st.builds(ex.Less, value=numbers),
    st.builds(ex.AtMost, value=numbers),
    st.builds(ex.Greater, value=numbers),
    st.builds(ex.AtLeast, value=numbers),
    bounds.map(lambda pair: ex.Between(low=pair[0], high=pair[1])),
    date_tests,
)
properties = st.builds(ex.Property, name=st.just("total"), test=tests)
withins = st.none() | periods
happened = st.tuples(
    st.none() | st.integers(1, 2), st.none() | st.integers(2, 3), withins, st.lists(properties, max_size=1)
).map(lambda said: ex.Happened(name="order", at_least=said[0], at_most=said[1], within=said[2], where=tuple(said[3])))
conditions: st.SearchStrategy[ex.Expression] = st.one_of(
    st.builds(ex.Attribute, name=st.sampled_from(NAMES), test=tests),
    st.builds(ex.Created, test=date_tests),
    st.builds(ex.Updated, test=date_tests),
    st.builds(ex.Known, field=st.sampled_from(["email", "phone", "push_tokens", "locale", "time_zone"])),
    st.builds(
        ex.Language,
        values=st.lists(st.sampled_from(["de", "en", "de_at", "zh-Hant"]), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(ex.Zone, values=st.lists(zones, min_size=1, max_size=2).map(tuple)),
    st.builds(ex.Country, values=st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=3).map(tuple)),
    st.builds(
        ex.Address, channel=channels, is_=st.sampled_from(["usable", "there", "invalid", "bounced", "complained"])
    ),
    st.builds(ex.Flag, channel=channels, is_=st.sampled_from(["yes", "no", "unset"])),
    st.builds(ex.Tagged, tag_id=st.sampled_from(TAGS), has=st.booleans()),
    st.builds(ex.Subscribed, topic_id=st.sampled_from(TOPICS), channel=st.none() | channels, has=st.booleans()),
    happened,
    st.builds(
        ex.Sent,
        what=st.sampled_from(["sent", "handed_over", *KINDS]),
        campaign_id=st.none() | st.sampled_from(CAMPAIGNS),
        channel=st.none() | channels,
        within=withins,
        has=st.booleans(),
    ),
    st.builds(ex.Sample, share=st.sampled_from([0.1, 0.5, 1.0]), seed=st.sampled_from(["", "b's %s"])),
)
expressions: st.SearchStrategy[ex.Expression] = st.recursive(
    conditions,
    lambda inner: st.one_of(
        *(
            st.lists(inner, min_size=1, max_size=3).map(lambda found, group=group: group(conditions=tuple(found)))
            for group in (ex.AllOf, ex.AnyOf, ex.NoneOf)
        )
    ),
    max_leaves=6,
)

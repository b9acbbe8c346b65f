import msgspec
import pytest

from stentor.accounts.brand_settings import changed_settings
from stentor.accounts.model import BrandSettings
from stentor.errors import Invalid


def test_settings_are_stored_in_their_normal_forms():
    changes = {
        "default_time_zone": "europe/berlin",
        "default_country": "de",
        "from_address": "News@EXAMPLE.org",
        "run_rate_per_s": 1000,
    }

    changed = changed_settings(BrandSettings(), changes)

    assert msgspec.to_builtins(changed) == {
        "default_time_zone": "Europe/Berlin",
        "default_country": "DE",
        "from_address": "News@example.org",
        "run_rate_per_s": 1000,
    }


def test_what_is_not_said_stays():
    present = BrandSettings(run_rate_per_s=7, postal_address="1 Main Street\nSpringfield")

    assert changed_settings(present, {"preferences_enabled": True}) == msgspec.structs.replace(
        present, preferences_enabled=True
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run_rate_per_s", 0),
        ("run_rate_per_s", 1_000_001),
        ("run_rate_per_s", "500"),
        ("run_rate_per_s", 10**30),
        ("preferences_enabled", None),
        ("default_time_zone", "Mars/Olympus"),
        ("default_country", "ZZ"),
        ("from_name", "Ann\r\nBcc: eve@example.org"),
        ("from_name", "x" * 201),
        ("from_address", "not an address"),
        ("postal_address", "x\x00y"),
        ("postal_address", "x" * 501),
        ("sandbox_days", 0),
        ("sandbox_messages_max", -1),
        ("no_such_setting", 1),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: object):
    with pytest.raises(Invalid) as caught:
        changed_settings(BrandSettings(), {name: value})

    assert [violation.pointer for violation in caught.value.violations] == [f"/{name}"]


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ([{"from": "21:00", "to": "8"}], "/quiet_hours/0/to"),
        ([{"from": "21:00", "to": "08:00"}, {"from": 21, "to": "08:00"}], "/quiet_hours/1/from"),
        ([{"preset": "us-tcpa", "channels": ["sms", "fax"]}], "/quiet_hours/0/channels/1"),
        ("21:00-08:00", "/quiet_hours"),
    ],
)
def test_quiet_hours_that_are_wrong_are_named_where_they_stand(rules: object, pointer: str):
    with pytest.raises(Invalid) as caught:
        changed_settings(BrandSettings(), {"quiet_hours": rules})

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


def test_quiet_hours_are_stored_as_they_were_written_and_survive_other_changes():
    rules = [{"preset": "us-tcpa"}, {"from": "22:00", "to": "07:00", "channels": ["push"]}]

    changed = changed_settings(changed_settings(BrandSettings(), {"quiet_hours": rules}), {"run_rate_per_s": 7})

    assert msgspec.json.decode(msgspec.json.encode(changed))["quiet_hours"] == rules

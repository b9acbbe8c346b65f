import json

from command_line import Command


def test_a_brand_and_its_key_are_what_programs_are_told(command: Command):
    brand = json.loads(command("brand", "create", "Fan Club", "--json").stdout)
    key = json.loads(command("key", "create", "--brand", "Fan Club", "--test", "--json").stdout)
    listed = json.loads(command("brand", "list", "--json").stdout)

    assert set(brand) == {"group_id", "brand_key"}
    assert set(key) == {"number", "token", "api_key"}
    assert key["token"] == f"{key['number']}|{key['api_key']}"
    assert key["api_key"].startswith("st_test_")
    assert listed == {"brands": [brand | {"tenant_id": 1, "name": "Fan Club"}]}


def test_a_brand_is_named_by_name_key_or_id(command: Command):
    brand = json.loads(command("brand", "create", "Fan Club", "--json").stdout)

    made = [command("key", "create", "--brand", name, "--json") for name in ("Fan Club", *brand.values())]

    assert [one.exit_code for one in made] == [0, 0, 0]


def test_a_brand_that_is_not_there_fails_with_a_sentence(command: Command):
    refused = command("key", "create", "--brand", "Nobody")

    assert refused.exit_code == 1
    assert refused.stderr == "stentor: There is no brand 'Nobody'. See `stentor brand list`.\n"


def test_a_scope_that_is_none_is_wrong_usage(command: Command):
    refused = command("key", "create", "--brand", "Nobody", "--scope", "everything")

    assert refused.exit_code == 2
    assert refused.stderr == "stentor: There is no scope everything; choose from run, read, write, admin.\n"


def test_settings_are_given_as_text_and_kept_as_what_they_are(command: Command):
    command("brand", "create", "Fan Club")

    changed = command(
        "brand", "set", "Fan Club", "run_rate_per_s=100", "preferences_enabled=true", "from_name=12", "--json"
    )

    settings = json.loads(changed.stdout)["settings"]
    assert (settings["run_rate_per_s"], settings["preferences_enabled"], settings["from_name"]) == (100, True, "12")
    assert json.loads(command("brand", "set", "Fan Club", "--json").stdout)["settings"] == settings


def test_settings_are_shown_as_they_are_given(command: Command):
    command("brand", "create", "Fan Club")

    shown = command("brand", "set", "Fan Club", "preferences_enabled=true").stderr

    assert dict(line.split() for line in shown.splitlines() if "_enabled" in line) == {"preferences_enabled": "true"}


def test_the_list_of_brands_says_what_its_columns_are(command: Command):
    none = command("brand", "list")
    made = json.loads(command("brand", "create", "Fan Club", "--json").stdout)
    head, row = command("brand", "list").stderr.splitlines()

    assert none.stderr == "No brand yet.\n"
    assert head.split("  ")[0] == "group id"
    assert row == f"{made['group_id']}  {made['brand_key']}  1       Fan Club"
    assert head.index("name") == row.index("Fan Club")


def test_a_policy_is_given_as_json(command: Command):
    command("brand", "create", "Fan Club")

    kept = command("brand", "set", "Fan Club", 'policy={"caps":[{"at_most":3,"per":"7d"}]}', "--json")
    refused = [command("brand", "set", "Fan Club", f"policy={text}") for text in ("3 a week", '{"cap":1}')]
    meaningless = command("brand", "set", "Fan Club", 'policy={"caps":[{"at_most":3,"per":"week"}]}')

    assert json.loads(kept.stdout)["settings"]["policy"] == {"caps": [{"at_most": 3, "per": "7d"}]}
    assert [one.exit_code for one in refused] == [2, 2]
    assert meaningless.exit_code == 1
    assert "'week' is no duration" in str(meaningless.exception)


def test_a_setting_that_breaks_a_rule_is_named(command: Command):
    command("brand", "create", "Fan Club")

    refused = [command("brand", "set", "Fan Club", given) for given in ("run_rate_per_s=0", "colour=red", "from_name")]

    assert [one.exit_code for one in refused] == [2, 2, 2]
    assert refused[0].stderr == "stentor: run_rate_per_s cannot be '0': it has to be a whole number >= 1.\n"
    assert all(one.stderr.startswith("stentor: ") for one in refused)


def test_quiet_hours_are_given_and_shown_in_json(command: Command):
    command("brand", "create", "Fan Club")
    rules = [{"preset": "us-tcpa"}, {"from": "22:00", "to": "07:00", "days": ["sun"]}]

    changed = command("brand", "set", "Fan Club", f"quiet_hours={json.dumps(rules)}", "--json")

    assert json.loads(changed.stdout)["settings"]["quiet_hours"] == rules
    assert '[{"preset":"us-tcpa"},' in command("brand", "set", "Fan Club").stderr
    refused = command("brand", "set", "Fan Club", 'quiet_hours=[{"preset": "mars"}]')
    assert "There is no preset 'mars'." in str(refused.exception)
    assert command("brand", "set", "Fan Club", "quiet_hours=21:00").exit_code == 2


def test_migrate_says_what_it_applied(command: Command):
    assert json.loads(command("migrate", "--json").stdout) == {"applied": []}


def test_a_user_is_made_with_a_link_listed_disabled_and_let_in_again(command: Command):
    owner = json.loads(command("user", "create", "Olga@example.org", "--role", "owner", "--json").stdout)
    command("brand", "create", "Fan Club")
    viewer = command("user", "create", "ann@example.org", "--brand", "Fan Club", "--role", "viewer", "--name", "Ann")
    disabled = json.loads(command("user", "disable", "ann@example.org", "--json").stdout)
    refused = command("user", "link", "ann@example.org")
    command("user", "enable", "ann@example.org")
    link = command("user", "link", "ann@example.org")
    listed = json.loads(command("user", "list", "--json").stdout)["users"]

    assert owner["link"].startswith("http://127.0.0.1:8080/console/password/")
    assert "/console/password/" in viewer.stderr
    assert disabled["is_disabled"]
    assert (refused.exit_code, link.exit_code) == (1, 0)
    assert [(user["email"], user["name"], user["is_disabled"]) for user in listed] == [
        ("ann@example.org", "Ann", False),
        ("Olga@example.org", "Olga", False),
    ]
    last = command("user", "disable", "olga@EXAMPLE.org")
    wrong = command("user", "create", "x@example.org", "--role", "king")
    assert (last.exit_code, wrong.exit_code) == (1, 2)
    assert "keeps at least one owner" in str(last.exception)


def test_a_second_organisation_has_brands_keys_and_people_of_its_own(command: Command):
    unowned = json.loads(command("user", "link", "--json").stdout)
    command("user", "create", "olga@example.org", "--role", "owner")
    made = json.loads(command("organisation", "create", "Rowing", "--json").stdout)
    again = json.loads(command("user", "link", "--organisation", "2", "--json").stdout)
    brand = json.loads(command("brand", "create", "Boats", "--organisation", "Rowing", "--json").stdout)
    given = command("user", "role", "olga@example.org", "owner", "--organisation", made["organisation_id"])
    owned = [command("user", "link", "--organisation", one) for one in ("1", "Rowing")]
    key = command("key", "create", "--organisation", "Rowing", "--json")
    renamed = json.loads(command("organisation", "rename", "Rowing", "Rowers", "--json").stdout)
    boats = json.loads(command("brand", "rename", "Boats", "Eights", "--json").stdout)
    listed = json.loads(command("organisation", "list", "--json").stdout)["organisations"]
    refused = [
        command("organisation", "create", "Rowers"),
        command("brand", "create", "X", "--organisation", "Nobody"),
        command("key", "create"),
        command("user", "create", "x@example.org", "--brand", "Eights", "--organisation", "2"),
    ]

    assert "/console/invitation/" in unowned["owner_link"]
    assert again["owner_link"] == made["owner_link"] != unowned["owner_link"]
    assert (given.exit_code, key.exit_code, [one.exit_code for one in owned]) == (0, 0, [1, 1])
    assert renamed == {"organisation_id": made["organisation_id"], "tenant_id": 2, "name": "Rowers"}
    assert boats == brand | {"tenant_id": 2, "name": "Eights"}
    assert [one["name"] for one in listed] == ["Organisation", "Rowers"]
    assert [one.exit_code for one in refused] == [1, 1, 2, 2]


def test_what_somebody_lost_is_taken_off_by_name(command: Command):
    command("user", "create", "olga@example.org", "--role", "owner")

    refused = [command("user", name, "olga@example.org") for name in ("reset-factor", "unlink")]

    assert [one.exit_code for one in refused] == [1, 1]
    assert "has no second factor" in str(refused[0].exception)
    assert "No identity provider knows" in str(refused[1].exception)

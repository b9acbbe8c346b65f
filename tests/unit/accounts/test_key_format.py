import hmac
import re

import pytest

from stentor.accounts.key_format import digest_of, hint_of, is_checked, new_brand_key, new_secret, read_presented


@pytest.mark.fault("S2")
def test_a_secret_has_its_prefix_thirty_characters_and_a_checksum():
    assert re.fullmatch(r"st_[0-9A-Za-z]{36}", new_secret(is_test=False))
    assert re.fullmatch(r"st_test_[0-9A-Za-z]{36}", new_secret(is_test=True))


def test_a_brand_key_has_twenty_two_characters():
    assert re.fullmatch(r"br_[0-9A-Za-z]{22}", new_brand_key())


def test_a_secret_with_one_character_changed_fails_its_checksum():
    secret = new_secret(is_test=False)

    broken = [f"{secret[:at]}{'b' if secret[at] == 'a' else 'a'}{secret[at + 1 :]}" for at in range(3, len(secret))]

    assert is_checked(secret)
    assert not any(is_checked(text) for text in broken)


def test_a_key_is_read_bare_and_with_its_number():
    secret = new_secret(is_test=True)

    assert read_presented(secret) == (None, secret)
    assert read_presented(f"293|{secret}") == (293, secret)


def test_what_has_not_the_shape_of_a_key_is_not_read():
    secret = new_secret(is_test=False)

    shapeless = ["", "st_", secret[:-1], f"{secret}x", f"|{secret}", f"0|{secret}", f"-1|{secret}", f" {secret}"]
    shapeless += [f"{secret}\n", f"{secret[:-1]}é", f"{'9' * 19}|{secret}", "st_" + "\x00" * 36]

    assert [read_presented(text) for text in shapeless] == [None] * len(shapeless)


def test_a_hint_tells_keys_apart_and_gives_nothing_away():
    assert hint_of("st_test_abcdefgh") == "st_test_abcd…"
    assert hint_of("st_abcdefgh") == "st_abcd…"


@pytest.mark.fault("S2")
def test_a_digest_depends_on_the_pepper():
    secret = new_secret(is_test=False)

    digests = [digest_of(pepper, secret) for pepper in (b"a" * 32, b"b" * 32)]

    assert digests[0] != digests[1]
    assert digests[0] == hmac.digest(b"a" * 32, secret.encode(), "sha256")

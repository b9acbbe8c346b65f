import base64
import hashlib
import hmac

import pytest

from stentor.channels.webhook.signing import SECRETS_MAX, BadSecret, Signer, keys_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_signature_is_that_of_the_standards_own_example():
    headers = Signer(keys_of(SECRET)).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_change_both_sign_the_newest_first():
    headers = Signer(keys_of(f"{OTHER} {SECRET}")).headers("id", 7, b"{}")

    expected = [
        "v1," + base64.b64encode(hmac.new(key, b"id.7.{}", hashlib.sha256).digest()).decode()
        for key in (bytes(range(32)), base64.b64decode(SECRET.removeprefix("whsec_")))
    ]
    assert headers["webhook-signature"].split(" ") == expected


@pytest.mark.parametrize(
    "secrets",
    [
        "",
        "   ",
        SECRET.removeprefix("whsec_"),
        "whsk_" + SECRET.removeprefix("whsec_"),
        "whsec_",
        "whsec_not*base64*at*all*not*base64*at*all",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        f"{SECRET} ordinary-password",
        " ".join([SECRET] * (SECRETS_MAX + 1)),
    ],
)
def test_what_is_no_signing_secret_is_refused_in_words_that_do_not_repeat_it(secrets: str):
    with pytest.raises(BadSecret, match="openssl rand") as caught:
        keys_of(secrets)

    assert not secrets.strip() or secrets.removeprefix("whsec_") not in str(caught.value) or secrets == "whsec_"


@pytest.mark.parametrize("size", [24, 64])
def test_a_key_has_24_to_64_bytes(size: int):
    assert keys_of("whsec_" + base64.b64encode(bytes(size)).decode()) == [bytes(size)]

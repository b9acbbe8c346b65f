"""How many segments a text takes."""

import pytest

from stentor.render.sms_length import SmsLength, sms_length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", SmsLength("gsm7", 0, 0)),
        ("Hello", SmsLength("gsm7", 5, 1)),
        ("x" * 160, SmsLength("gsm7", 160, 1)),
        ("x" * 161, SmsLength("gsm7", 161, 2)),
        ("x" * 306, SmsLength("gsm7", 306, 2)),
        ("x" * 307, SmsLength("gsm7", 307, 3)),
        ("€" * 80, SmsLength("gsm7", 160, 1)),
        ("x" * 152 + "€" + "x" * 10, SmsLength("gsm7", 164, 2)),
        ("€" * 153, SmsLength("gsm7", 306, 3)),
        ("ñandú", SmsLength("ucs2", 5, 1)),
        ("é" * 70, SmsLength("gsm7", 70, 1)),
        ("ç" * 70, SmsLength("ucs2", 70, 1)),
        ("ç" * 71, SmsLength("ucs2", 71, 2)),
        ("🎉" * 35, SmsLength("ucs2", 70, 1)),
        ("x" * 66 + "🎉" + "x" * 3, SmsLength("ucs2", 71, 2)),
        ("🎉" * 67, SmsLength("ucs2", 134, 3)),
    ],
)
def test_a_text_has_its_length(text: str, length: SmsLength):
    assert sms_length(text) == length

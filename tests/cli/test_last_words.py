"""What a command says when it cannot go on."""

import pytest
from pydantic import ValidationError

from stentor.cli.output import end_with
from stentor.errors import Invalid
from stentor.settings import Settings


def test_a_setting_that_cannot_be_used_is_told_in_our_own_words(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValidationError) as error:
        Settings(public_url="foo")

    with pytest.raises(SystemExit):
        end_with(error.value)

    assert "  STENTOR_PUBLIC_URL: 'foo' is no address of a web site;" in capsys.readouterr().err


def test_what_the_sentence_says_is_not_said_twice(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        end_with(Invalid.field("/region", "invalid", "There is no region 'XX'."))

    assert capsys.readouterr().err == "stentor: There is no region 'XX'.\n"

"""What a command says when it cannot go on."""

import io
import sys

import pytest
from pydantic import ValidationError

from stentor.cli.output import end_with, fail
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


def test_a_terminal_breaks_a_sentence_between_words(monkeypatch: pytest.MonkeyPatch):
    said = _Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setenv("COLUMNS", "40")

    with pytest.raises(SystemExit):
        fail("There is no installation in /srv/a-place-with-a-rather-long-name. Name another.\n  /x: It is needed.")

    assert said.getvalue().splitlines() == [
        "stentor: There is no installation in",
        "/srv/a-place-with-a-rather-long-name.",
        "Name another.",
        "  /x: It is needed.",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

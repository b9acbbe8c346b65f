"""What an SMTP server offers, as far as it decides how messages are handed over: in chunks, in a pipeline, or in step."""

import pytest

from stentor.testing.smtp_script import EXTENSIONS

CHUNKED = EXTENSIONS
PIPELINED = EXTENSIONS - {"CHUNKING"}
IN_STEP = EXTENSIONS - {"CHUNKING", "PIPELINING"}
EVERY_DIALOGUE = pytest.mark.parametrize(
    "offers", [CHUNKED, PIPELINED, IN_STEP], ids=["chunked", "pipelined", "in step"]
)
UNCHUNKED_DIALOGUES = pytest.mark.parametrize("offers", [PIPELINED, IN_STEP], ids=["pipelined", "in step"])

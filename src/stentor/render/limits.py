"""How much a template may do: every limit is a count, so the same template and person always meet the same end."""

import msgspec

SOURCE_CHARS_MAX = 1_000_000
BLOCK_DEPTH_MAX = 20
EXPRESSION_DEPTH_MAX = 100
# The lexer's time is quadratic in a run of blanks inside one tag.
TAG_BLANKS_MAX = 100

LOOP_ITERATIONS_MAX = 10_000
# Iterations times what each of them renders: about 0.2 s of one core.
LOOP_STEPS_MAX = 1_000_000
NAMESPACE_BYTES_MAX = 1 << 20
VALUE_CHARS_MAX = 1 << 20
# Characters and items that filters read of long values: the slowest filter reads them in about 0.2 s.
FILTER_WORK_MAX = 4 << 20
NUMBER_BITS_MAX = 1024

EMAIL_CHARS_MAX = 1 << 20
SMS_BYTES_MAX = 2048
TEXT_BYTES_MAX = 16 * 1024  # voice scripts and the texts of other messengers
PUSH_BYTES_MAX = 4096  # what the push services carry
WEBHOOK_BYTES_MAX = 256 * 1024
SUBJECT_CHARS_MAX = 998


class Limits(msgspec.Struct, frozen=True):
    """What one part of a template may cost one person; what passes a limit fails that person's message alone."""

    output_chars: int = EMAIL_CHARS_MAX
    loop_iterations: int = LOOP_ITERATIONS_MAX
    loop_steps: int = LOOP_STEPS_MAX
    namespace_bytes: int = NAMESPACE_BYTES_MAX
    filter_work: int = FILTER_WORK_MAX


EMAIL_LIMITS = Limits()

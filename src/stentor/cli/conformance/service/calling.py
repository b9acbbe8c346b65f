"""Checks of how the service calls: with which credentials, and what it does where the hub has trouble."""

from stentor.cli.conformance.checks import Checks, NotTried, expect, unmet
from stentor.cli.conformance.service.book import LOGIN, Book, Call, Trouble

calling = Checks[Book]()

_SLACK_S = 0.05


def _struck(book: Book, trouble: Trouble, why_not: str) -> tuple[Call, list[Call]]:
    """The call that the trouble met, and those after it."""
    for place, call in enumerate(book.calls):
        if call.trouble == trouble:
            return call, book.calls[place + 1 :]
    raise NotTried(why_not)


def _again(call: Call, later: list[Call]) -> Call | None:
    return next((one for one in later if one.function == call.function and one.status == 200), None)


def _refused(book: Book, status: int) -> list[str]:
    return [f"{call.asked}: {call.reason}" for call in book.calls if call.status == status and not call.trouble]


@calling.check("F4.2.1", "it logs in with its user name and password, or sends its key")
async def logs_in(book: Book) -> None:
    entered = [call for call in book.calls if call.status == 200 and (call.function == LOGIN or call.entry == "key")]
    refused = [call.asked for call in book.calls if call.status == 401]
    expect(bool(entered), "Login, or X-API-KEY", f"401 for {refused[0]}" if refused else "neither")


@calling.check("F4.2.4", "every call carries a token that it was given, or its key")
async def carries_token(book: Book) -> None:
    calls = [call for call in book.calls if call.function != LOGIN]
    if not calls:
        raise NotTried("it called nothing but Login")
    over = next((place for place, call in enumerate(calls) if call.trouble == "expired"), len(calls))
    wrong = [
        call
        for place, call in enumerate(calls)
        # Several calls may be on their way when a token ends.
        if call.entry in {"none", "wrong key"} or (call.entry == "wrong token" and place < over)
    ]
    expect(not wrong, "its token or key", f"{wrong[0].entry} at {wrong[0].asked}" if wrong else "")


@calling.check("F4.2.10", "it logs in again when its token is over, and goes on with what it was at")
async def logs_in_again(book: Book) -> None:
    call, later = _struck(book, "expired", "it did not go on with a token after its first page")
    expect(any(one.function == LOGIN and one.status == 200 for one in later), "another Login", "none")
    expect(_again(call, later) is not None, f"{call.asked} once more", "never")


@calling.check("F4.7.6", "it waits as long as a 429 says, and asks again")
async def waits(book: Book) -> None:
    call, later = _struck(book, "busy", "it did not ask for a list")
    again = next((one for one in later if one.function == call.function), None)
    if again is None:
        unmet(f"{call.asked} once more", "never")
    waited, wanted = again.at_s - call.at_s, book.target.retry_after_s
    expect(waited >= wanted - _SLACK_S, f"{wanted} s between both calls", f"{waited:.2f} s")


@calling.check("F4.7.7", "it asks again what was answered with a 500")
async def asks_again(book: Book) -> None:
    call, later = _struck(book, "broken", "it did not go on after its first page")
    expect(_again(call, later) is not None, f"{call.asked} once more", "never")


@calling.check("F4.7.5", "it calls functions that there are, by their verbs")
async def calls_functions(book: Book) -> None:
    wrong = [call.asked for call in book.calls if call.status == 405]
    expect(not wrong, "documented functions", wrong)


@calling.check("F4.7.1", "nothing that it says breaks a rule")
async def breaks_no_rule(book: Book) -> None:
    wrong = _refused(book, 400)
    expect(not wrong, "no 400", "; ".join(wrong))

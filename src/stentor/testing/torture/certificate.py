"""What a run of the proof programme proved: the lines of its certificate, and whether they hold."""

import json
from dataclasses import asdict, dataclass

KILLS_ON_WIRE_MIN = 20
STRIKES_MIN = 3
RECIPIENTS_PER_MINUTE_MIN = 20_000
PULLED_PER_MINUTE_MIN = 500


@dataclass(frozen=True)
class Certificate:
    """The keys and their order are those of the JSON object; `docs/torture.md` says what each of them counts."""

    seed: int
    kills: int
    kills_on_wire: int
    executions: int
    recipients: int
    pulled: int
    revoked: int
    lost: int
    doubled: int
    unknown: int
    unknown_allowed: int
    opted_out_contacted: int
    cap_violations: int
    quiet_violations: int
    wrongly_withheld: int
    unbalanced: int
    resent: int
    faults: dict[str, int]

    @property
    def broken(self) -> list[str]:
        """The lines that do not hold."""
        zero = (
            "lost",
            "doubled",
            "opted_out_contacted",
            "cap_violations",
            "quiet_violations",
            "wrongly_withheld",
            "unbalanced",
        )
        broken = [name for name in zero if getattr(self, name)]
        return broken + (["unknown"] if self.unknown > self.unknown_allowed else [])

    def shortfalls(self, minutes: float) -> list[str]:
        """Why a run of that length proves too little to count."""
        wanted = round(RECIPIENTS_PER_MINUTE_MIN * minutes)
        short = [
            f"{kind} struck {times} times of {STRIKES_MIN}"
            for kind, times in self.faults.items()
            if times < STRIKES_MIN
        ]
        if self.recipients < wanted:
            short.append(f"{self.recipients} recipients of {wanted}")
        if self.pulled < (wanted := round(PULLED_PER_MINUTE_MIN * minutes)):
            short.append(f"{self.pulled} people pulled of {wanted}")
        if self.kills_on_wire < KILLS_ON_WIRE_MIN:
            short.append(f"{self.kills_on_wire} kills with bytes on the wire of {KILLS_ON_WIRE_MIN}")
        return short

    def table(self) -> str:
        """One line a key, for people."""
        rows = [(name, value) for name, value in asdict(self).items() if name != "faults"]
        rows += [(f"fault {kind}", times) for kind, times in self.faults.items()]
        width = max(len(name) for name, _ in rows)
        marks = dict.fromkeys(self.broken, "   does not hold")
        return "\n".join(f"{name:<{width}}  {value:>10,}{marks.get(name, '')}" for name, value in rows)

    def json(self) -> str:
        """One object on one line."""
        return json.dumps(asdict(self))

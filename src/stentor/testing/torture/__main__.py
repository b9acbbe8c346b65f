"""`python -m stentor.testing.torture`: exit code 0 when every line of the certificate holds and the run counts."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from stentor.testing.torture.nemesis import FAULTS
from stentor.testing.torture.run import run, tell


def main() -> None:
    """Tortures, and prints the certificate; what it judged from stays in a folder that it names."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.torture", description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed draws the same schedule; a new one unless said")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long clients call and the nemesis strikes")
    parser.add_argument("--folder", type=Path, help="where chronicle, ledger and log go; a temporary one unless said")
    parser.add_argument(
        "--only", help=f"comma-separated: these faults and no others, so no run that counts; {', '.join(FAULTS)}"
    )
    asked = parser.parse_args()
    faults = asked.only.split(",") if asked.only else list(FAULTS)
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="stentor-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f"seed {seed}, {asked.minutes:g} minutes; chronicle, ledger and log lie in {folder}\n")
    sys.exit(tell(run(seed=seed, minutes=asked.minutes, folder=folder, faults=faults)))


if __name__ == "__main__":
    main()

"""`python -m stentor.testing.torture`: exit code 0 when every line of the certificate holds and the run counts."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from stentor.testing.torture.run import run, tell


def main() -> None:
    """Tortures, and prints the certificate; what it judged from stays in a folder that it names."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.torture", description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed draws the same schedule; a new one unless said")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long clients call and the nemesis strikes")
    parser.add_argument("--folder", type=Path, help="where chronicle, ledger and log go; a temporary one unless said")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="stentor-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f"seed {seed}, {asked.minutes:g} minutes; chronicle, ledger and log lie in {folder}\n")
    sys.exit(0 if tell(run(seed=seed, minutes=asked.minutes, folder=folder)) else 1)


if __name__ == "__main__":
    main()

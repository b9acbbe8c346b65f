"""How many files a process may hold open."""

import resource
from contextlib import suppress


def files_max() -> int:
    """As many as the operator lets it, the soft limit being raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

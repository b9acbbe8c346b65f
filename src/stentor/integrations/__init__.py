"""Partners that execute campaigns: what they are told, what they fetch, and what they report."""

"""People as a whole: all that is held of one, to be forgotten, and two that are the same."""

"""What a person may ask for: all that is held of them, and to be forgotten."""

"""The composition root: settings → database → services and roles. Only `stentor.doors`, on top of it, knows more."""

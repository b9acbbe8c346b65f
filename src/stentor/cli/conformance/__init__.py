"""A scripted partner that tries a hub over HTTP, check by check."""

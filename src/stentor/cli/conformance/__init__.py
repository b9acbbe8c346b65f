"""Both ends of the channel-integration API, tried over HTTP, check by check: a hub by a scripted partner, a service by a scripted hub."""

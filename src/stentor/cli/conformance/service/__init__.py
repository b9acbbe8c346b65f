"""A scripted hub that tries a service over HTTP: it runs a small campaign through it, and looks at what the service did."""

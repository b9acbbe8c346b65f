"""Stentor: one call, and everyone who asked to hear it does."""

__version__ = "0.1.0.dev0"

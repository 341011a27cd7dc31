"""Aparté: a private chat channel that a company owns."""

__version__ = "0.1.0"

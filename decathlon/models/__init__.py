"""Trunk and method make one network a domain. All that `adapters/` may import is here."""

"""A trunk and a method make one network per domain. All that `adapters/` may import is here."""

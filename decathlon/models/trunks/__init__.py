"""Trunks: the feature networks that all domains share."""

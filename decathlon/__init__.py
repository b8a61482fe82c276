"""Visual Decathlon: multi-domain image classification with one trunk and light per-domain adapters."""

__version__ = "0.1.0"

"""Visual Decathlon: multi-domain image classification with one trunk and light per-domain adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decathlon.data.torch_dataset import PackedDomain

__all__ = ["PackedDomain", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "PackedDomain":  # imports torch, which the command's help must not wait for
        from decathlon.data.torch_dataset import PackedDomain

        return PackedDomain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Randomness as a function: every draw is computed from a key, never from the state a generator was left in.

That is what makes a resumed run equal to an uninterrupted one, bit for bit, on any number of workers.
"""

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def key(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on all parts and their order."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator seeded by `key(*parts)`; its numbers differ between types of device."""
    made = torch.Generator(device)
    made.manual_seed(key(*parts))
    return made


@contextlib.contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed the global CPU generator inside the block and restore it afterwards: for modules that draw weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(*parts))
        yield

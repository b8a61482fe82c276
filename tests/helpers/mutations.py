"""Seeded damage: JSON values with a key deleted, replaced, nested or retyped, and bytes with a bit flipped."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2.5, -0.0, 1e308, 2**63, 10**400, "", "x", "..", "../../x", "a\0b", "cuda:9",
    "ü" * 300, [], {}, [[]], [0, 0], {"": 0}, ["x"], {"x": {"y": []}},
)  # fmt: skip


def mutate(value: Any, seed: int) -> bytes:
    """Return JSON text in which one to three places are not what they were; seldom it is no JSON at all."""
    rng, value = random.Random(seed), copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _change(value, rng)
    text = json.dumps(value)
    if rng.random() < 0.15:
        return _spoil(text, rng)
    return text.encode()


def flip(data: bytes, seed: int, most: int | None = None) -> bytes:
    """Return data with one bit flipped, among the first `most` bytes."""
    place = random.Random(seed).randrange(8 * min(len(data), most or len(data)))
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def _change(value: Any, rng: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = [holder[key]]
    elif kind == 2:
        holder[key] = {"x": holder[key]}
    elif kind == 3:
        holder[key] = copy.deepcopy(rng.choice(places)[0])
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD))
    return value


def _places(value: Any) -> Any:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _spoil(text: str, rng: random.Random) -> bytes:
    place = rng.randrange(len(text))
    spoilt = (
        text[:place], "[" * 10**5, '{"a":' * 10**5, text[:-1] + ', "format": 1, "format": 1}',
        text.replace("1", "NaN"), text.replace("0", "9" * 5000),
        text.replace('"', '"\\ud800', 1), text[:place] + "\0" + text[place:],
    )  # fmt: skip
    return rng.choice([*(part.encode() for part in spoilt), b"\xff\xfe" + text.encode(), text.encode() + b"\xff"])

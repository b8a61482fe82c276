"""How alike domains are, as a table of all pairs and in words."""

from __future__ import annotations

from collections.abc import Mapping

from decathlon.reports.tables import Column, Table

Affinity = Mapping[str, Mapping[str, float]]  # by domain and by domain


def to_table(affinity: Affinity, title: str) -> Table:
    """Return the table of all pairs."""
    columns = (Column("domain", "domain"), *(Column(name, name, 2) for name in affinity))
    return Table(title, columns, tuple((name, *row.values()) for name, row in affinity.items()))


def describe(affinity: Affinity) -> list[str]:
    """Return a line on the most and the least alike pairs, and one on the pairs that disagree, if there are any."""
    names = list(affinity)
    pairs = [(affinity[one][two], one, two) for place, one in enumerate(names) for two in names[place + 1 :]]
    if not pairs:
        return []
    ordered = sorted(pairs, reverse=True)
    lines = [f"Most alike: {_text(ordered[:3])}. Least: {_text(ordered[:-4:-1])}."]
    against = [pair for pair in reversed(ordered) if pair[0] < 0]
    if against:
        lines.append(
            f"{len(against)} of {len(pairs)} pairs pull against each other, most of all {_text(against[:3])}."
        )
    return lines


def _text(pairs: list[tuple[float, str, str]]) -> str:
    return ", ".join(f"{one} and {two} ({value:.2f})" for value, one, two in pairs)

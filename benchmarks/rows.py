"""The rows of the fair table: every method, the trunk it is built over, and how many passes it has had."""

from __future__ import annotations

from dataclasses import dataclass

TRUNK, FINETUNE = "trunk", "finetune"


@dataclass(frozen=True)
class Row:
    """A training run of the table.

    `over` names the row whose run is the trunk; empty: random weights. `freeze` None means the method's default.
    `passes` are multiples of the recipe's epochs: a row over random weights trains twice as long as one that
    starts from the trunk, so that both have seen every image equally often.
    """

    name: str
    method: str
    settings: tuple[str, ...] = ()
    over: str = TRUNK
    freeze: bool | None = None
    passes: int = 1

    def arguments(self) -> list[str]:
        """Return the options of `decathlon train` that choose the method."""
        arguments = ["--method", self.method]
        for setting in self.settings:
            arguments += ["--set", setting]
        if self.freeze is not None:
            arguments.append("--freeze" if self.freeze else "--no-freeze")
        return arguments


INSIDE = "series trunk"
ROWS = (
    Row(TRUNK, "bn", over="", freeze=False),
    Row(FINETUNE, "finetune"),
    Row("feature", "feature"),
    Row("bn, frozen", "bn", freeze=True),
    Row("parallel", "parallel"),
    Row("parallel, from zero", "parallel", ("init=zero",)),
    Row("parallel-svd", "parallel-svd", over="parallel"),
    Row("series", "series"),
    Row("series, from zero", "series", ("init=zero",)),
    Row(INSIDE, "series", over="", freeze=False),
    Row("series, inside", "series", over=INSIDE),
    Row("dan", "dan"),
    Row("dan, diagonal", "dan", ("diagonal=true",)),
    Row("piggyback", "piggyback"),
    Row("piggyback, own norms", "piggyback", ("own_norms=true", "lr=0.001")),
    Row("piggyback, ternary", "piggyback", ("own_norms=true", "lr=0.001", "ternary=true")),
    Row("mtan, frozen", "mtan", freeze=True),
    Row("dense, frozen", "dense", freeze=True),
    Row("mtan", "mtan"),
    Row("dense", "dense"),
    Row("split", "split"),
    Row("stan", "stan"),
    Row("scratch", "scratch", over="", passes=2),
    Row("split, wide", "split", ("preset=wide",), over="", passes=2),
    Row("split, deep", "split", ("preset=deep",), over="", passes=2),
)


def passes(row: Row, rows: dict[str, Row]) -> int:
    """Return the training of a row's weights, that of its trunk included, in multiples of the recipe's epochs."""
    return row.passes + (passes(rows[row.over], rows) if row.over else 0)

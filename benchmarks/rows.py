"""The rows of the fair table: every method, the trunk it is built over, and the epochs that it trains."""

from __future__ import annotations

from dataclasses import dataclass

TRUNK, FINETUNE = "trunk", "finetune"


@dataclass(frozen=True)
class Row:
    """A training run of the table.

    `over` names the row whose run is the trunk; empty: random weights. `freeze` None means the method's default.
    A row with both `phases` begins at random and trains as long as a trunk and a row over it, so that it has seen
    every image as often. `train` are further options of `decathlon train`. A setting tree=@N of method branch
    stands for the tree that `decathlon branch` chooses for N trunks from the first run of the row it is over.
    """

    name: str
    method: str
    settings: tuple[str, ...] = ()
    over: str = TRUNK
    freeze: bool | None = None
    phases: int = 1
    train: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return the options of `decathlon train` that choose the method."""
        arguments = ["--method", self.method]
        for setting in self.settings:
            arguments += ["--set", setting]
        if self.freeze is not None:
            arguments.append("--freeze" if self.freeze else "--no-freeze")
        return [*arguments, *self.train]


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
    Row("scratch", "scratch", over="", phases=2),
    Row("split, wide", "split", ("preset=wide",), over="", phases=2),
    Row("split, deep", "split", ("preset=deep",), over="", phases=2),
)
SHARING = (
    Row("cross-stitch", "cross-stitch"),
    Row("tensor-factor", "tensor-factor"),
    Row("tensor-factor, tucker", "tensor-factor", ("form=tucker",)),
    Row("tensor-factor, from finetune", "tensor-factor", over=FINETUNE),
    Row("trace-norm", "trace-norm"),
    Row("soft", "soft"),
    Row("soft, trunk", "soft", ("centre=trunk",)),
    Row("block-sparse", "block-sparse"),
    Row("relationship", "relationship"),
    Row("branch", "branch", ("tree=@3",)),
    Row("adashare", "adashare"),
    Row("sluice", "sluice"),
    Row("successive", "successive", train=("--sampling", "sequential")),
    Row("dense, full", "dense", ("encoder=full",)),
)
LOSSES = ("dwa", "uncertainty", "gradnorm", "score", "random", "geometric")
AGGREGATORS = ("equal", "pcgrad", "mgda", "cagrad", "upgrad", "nash-mtl", "aligned-mtl", "imtl-g", "fairgrad")
# the score needs a validation before each of its changes
WEIGHTED = tuple(
    Row(
        f"{method}, {name}",
        method,
        train=("--weighting", name, *(("--eval-every", "1") if name == "score" else ())),
    )
    for method in ("mtan", "split")
    for name in LOSSES
) + tuple(
    Row(f"{method}, together, {name}", method, train=("--together", "--weighting", name))
    for method in ("mtan", "split")
    for name in AGGREGATORS
)
KNOWN = {row.name: row for row in (*ROWS, *SHARING, *WEIGHTED)}
TABLES = {"methods": ROWS, "sharing": (*ROWS[:2], *SHARING), "weighting": (*ROWS[:2], *WEIGHTED)}


def epochs(row: Row, first: int, second: int) -> int:
    """Return the epochs that a row trains, given those of a trunk and those of a row over it."""
    if row.over:
        return second
    return first + second if row.phases == 2 else first


def seen(row: Row, rows: dict[str, Row], first: int, second: int) -> int:
    """Return the epochs that a row's weights have seen, those of its trunk included."""
    own = epochs(row, first, second)
    return own + seen(rows[row.over], rows, first, second) if row.over else own

"""branch: a tree of domains; stages of the trunk are shared by the domains of a branch alone.

Lu, Kumar, Zhai, Cheng, Javidi, Feris 2017, "Fully-adaptive feature sharing in multi-task networks"
(https://arxiv.org/abs/1611.05377), with the tree chosen beforehand by how alike the domains' features are, as in
Vandenhende, Georgoulis, De Brabandere, Van Gool 2020, "Branched multi-task networks: deciding what layers to
share" (https://arxiv.org/abs/1904.02920). At stage s, domain d runs the convolutions of its branch:

    g_s = stage_{s, branch(d, s)}(g_{s-1})        the first branch of a stage is the trunk's own

`decathlon branch RUN --budget 3` chooses a tree for a size in trunks and prints it as `--set tree=...` wants it:
stages from the first on apart by /, branches by |, domains by commas, as in a,b,c/a,b|c/a|b|c. A domain's branches
only split from stage to stage. Without a tree there is one branch, hard sharing. Starts at the trunk exactly.
Stored per domain: the norms; shared beside the trunk: the convolutions of further branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Method, Options, Regime, option
from decathlon.models.surgery import named_convs, own, replace, share
from decathlon.models.trunks.trunk import Trunk

Tree = list[list[list[str]]]  # by stage, its branches, each a list of domains


@dataclass(frozen=True)
class BranchOptions(Options):
    """The tree."""

    tree: str = option("", "branches by stage, as a,b,c/a,b|c/a|b|c; see 'decathlon branch'")

    def __post_init__(self) -> None:
        read_tree(self.tree)


def read_tree(text: str) -> Tree:
    """Return the tree in a text; raises UsageError where it is none."""
    if not text:
        return []
    tree = [[branch.split(",") for branch in stage.split("|")] for stage in text.split("/")]
    members = [[domain for branch in stage for domain in branch] for stage in tree]
    fault = next((_fault(stage, members[0]) for stage in members if _fault(stage, members[0])), "")
    for before, after in zip(tree, tree[1:], strict=False):
        if not all(any(set(branch) <= set(parent) for parent in before) for branch in after):
            fault = fault or "branches that were apart meet again"
    if fault:
        raise UsageError(
            f"method 'branch': {fault} in the tree '{text}'. Write it as a,b,c/a,b|c/a|b|c, or let 'decathlon "
            "branch RUN' choose one."
        )
    return tree


def _fault(stage: Sequence[str], first: Sequence[str]) -> str:
    if "" in stage:
        return "a domain without a name"
    if len(set(stage)) < len(stage):
        return "a domain twice in a stage"
    return "" if set(stage) == set(first) else "not the same domains in every stage"


class Branch(Method):
    """A trunk that learns from all domains, and further branches of its stages; norms per domain."""

    group = "sharing"
    regimes = ("joint",)
    published = Convention(heads=True, norms="once", nine=False)
    options: BranchOptions = BranchOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.tree = read_tree(self.options.tree)
        stages = len(trunk.tap_channels) - 1
        if self.tree and len(self.tree) != stages:
            raise UsageError(
                f"method 'branch': the tree has {len(self.tree)} stages and {trunk.name} {stages}. Let 'decathlon "
                "branch RUN' choose one for this trunk."
            )
        branches = {
            f"{stage}-{branch}": self._copy(stage)
            for stage, groups in enumerate(self.tree, 1)
            for branch in range(1, len(groups))
        }
        self.shared["branches"] = nn.ModuleDict(branches)

    def _copy(self, stage: int) -> nn.ModuleDict:
        convs = named_convs(stage_of(self.trunk, stage))
        return nn.ModuleDict({path.replace(".", "/"): own(conv) for path, conv in convs})

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        body = replace(share(trunk), norm=self.norm)
        for stage, groups in enumerate(self.tree, 1):
            number = next((place for place, group in enumerate(groups) if domain in group), None)
            if number is None:
                raise UsageError(
                    f"method 'branch': {domain} is not in the tree. Choose one with 'decathlon branch'."
                )
            if number:
                branches = cast(nn.ModuleDict, self.shared["branches"])
                for path, conv in cast(nn.ModuleDict, branches[f"{stage}-{number}"]).items():
                    stage_of(body, stage).set_submodule(path.replace("/", "."), share(conv))
        return body


def stage_of(trunk: nn.Module, stage: int) -> nn.Module:
    """Return a stage of a trunk, counted from 1; raises UsageError for a trunk that does not name them."""
    found = getattr(trunk, f"stage{stage}", None)
    if not isinstance(found, nn.Module):
        raise UsageError("method 'branch' needs a trunk with stages of its own. Use one like wrn-28-4 or resnet26.")
    return found

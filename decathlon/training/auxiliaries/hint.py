"""hint: a tap like that of a teacher.

Romero et al. 2015, "FitNets: hints for thin deep nets" (https://arxiv.org/abs/1412.6550). The teacher is a
finished run (the recipe's `teacher`) with a network of the domain, as `finetune` has. A 1x1 convolution of the
domain, thrown away after training, maps the middle tap to the teacher's, enlarged or reduced to its size:

    | r_d(g) - g_teacher |^2, the mean over all numbers

The teacher sees the same augmented images, in evaluation mode. Domains that it did not learn are left out.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from decathlon.errors import UsageError
from decathlon.models.layers import PointwiseConv, initialise
from decathlon.models.multi_domain_model import trunk_in
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.loading import load_run
from decathlon.training.auxiliary import Auxiliary
from decathlon.training.objective import MicroBatch
from decathlon.training.weighting import Setting

TAP = 2


class Hint(Auxiliary):
    """A 1x1 convolution for every domain from the student's middle tap to the teacher's."""

    taught = True

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        super().__init__(setting, trunk)
        run = load_run(setting.recipe.teacher, str(setting.device))
        found = {name: trunk_in(network) for name, network in run.networks.items() if name in self.domains}
        self.tap = min(TAP, len(self.channels) - 1)
        # not a submodule: it is not part of what trains, nor of the checkpoint
        self._teachers = {name: trunk.requires_grad_(False) for name, trunk in found.items() if trunk is not None}
        if not self._teachers:
            raise UsageError(f"{setting.recipe.teacher} has learned none of the domains. Choose another --teacher.")
        self.regress = nn.ModuleDict()
        for name, teacher in self._teachers.items():
            channels = teacher.tap_channels[min(self.tap, len(teacher.tap_channels) - 1)]
            self.regress[name.replace(".", "/")] = PointwiseConv(self.channels[self.tap], channels, bias=True)
        initialise(self.regress)

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the mean squared difference from the teacher's tap."""
        teacher = self._teachers.get(batch.domain)
        if teacher is None or not batch.taps:
            return None
        with torch.no_grad():
            taps = teacher.eval().taps(batch.images)
            wanted = taps[min(self.tap, len(taps) - 1)].float()
        found = self.regress[batch.domain.replace(".", "/")](batch.taps[self.tap].float())
        if found.shape[2:] != wanted.shape[2:]:
            found = interpolate(found, wanted.shape[2:], mode="bilinear")
        return mse_loss(found, wanted)

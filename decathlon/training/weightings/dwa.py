"""dwa: dynamic weight average, more weight for domains whose loss falls more slowly.

Liu, Johns, Davison 2019, "End-to-end multi-task learning with attention" (https://arxiv.org/abs/1803.10704),
section 3.3. L_d(e) is the unweighted loss of a domain, the mean over its micro-batches in epoch e:

    r_d(e) = L_d(e-1) / L_d(e-2)        w_d(e) = K softmax_d(r_d(e) / T)        T = 2; 1 in the first two epochs

K is the number of domains. An image has one domain, so every domain has a loss of its own images, whichever domains
are active in a step, and the weights change between epochs alone.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from decathlon.training.weighting import Setting, Step, Weighting

TEMPERATURE = 2.0


class Dwa(Weighting):
    """Weights from the means of the two epochs before.

    `history` (2, domains) holds those means, the older one first, 0 where there was none; `sums` (2, domains) the
    losses of this epoch and their number.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.history = torch.zeros(2, len(self.domains), dtype=torch.float64, device=setting.device)
        self.sums = torch.zeros_like(self.history)
        self.epoch = torch.zeros((), dtype=torch.int64)

    def begin(self, step: Step) -> None:
        """Close the epoch before, at the first step of the next one."""
        if step.epoch == int(self.epoch):
            return
        self.epoch.fill_(step.epoch)
        mean = self.sums[0] / self.sums[1].clamp(min=1)
        self.history.copy_(torch.stack((self.history[1], mean)))
        self.sums.zero_()

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss times the domain's weight, and add it to the epoch's."""
        place = self.domains.index(domain)
        self.sums[0, place] += loss.detach()
        self.sums[1, place] += 1
        return loss * self.weights()[place].to(loss.dtype)

    def weights(self) -> Tensor:
        """Return K softmax(r / T), 1 in the first two epochs."""
        older, newer = self.history
        ratio = newer / torch.where(older > 0, older, newer).clamp(min=1e-12)
        return len(self.domains) * torch.softmax(ratio / TEMPERATURE, 0)

    def state(self) -> Mapping[str, Tensor]:
        """Return the means, the open sums and the epoch they are of."""
        return {"history": self.history, "sums": self.sums, "epoch": self.epoch}

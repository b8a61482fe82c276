"""Any convolutional timm model as a trunk; its stage features are the taps."""

from __future__ import annotations

import timm
from torch import Tensor, nn

from decathlon.errors import DecathlonError, UsageError, unknown
from decathlon.models.trunks.trunk import Trunk


class TimmTrunk(Trunk):
    """`timm:<model>`: random weights, or the pretrained ones where the name carries a weights tag.

    Raises UsageError for a name that timm does not know or a model without convolutional stage features.
    """

    def __init__(self, model: str, pretrained: bool | None = None) -> None:
        super().__init__()
        self.name = f"timm:{model}"
        bare, _, tag = model.partition(".")
        if bare not in timm.list_models():
            raise unknown("timm model", bare, timm.list_models())
        wanted = bool(tag) if pretrained is None else pretrained
        try:
            self.model = timm.create_model(model, pretrained=wanted, features_only=True)
        except (RuntimeError, AttributeError, ValueError) as error:
            reason = _first_line(error)
            raise UsageError(f"{self.name} cannot be a trunk: {reason}. Choose a convolutional model.") from error
        except OSError as error:
            problem = f"the weights of {self.name} cannot be fetched ({_first_line(error)})"
            raise DecathlonError(f"{problem}. Use 'timm:{bare}' for random weights.") from error
        self.tap_channels = tuple(self.model.feature_info.channels())  # type: ignore[operator,union-attr]
        if not any(isinstance(part, nn.BatchNorm2d) for part in self.model.modules()):
            problem = f"{self.name} has no batch normalisation for domains to adapt"
            raise UsageError(f"{problem}. Choose e.g. timm:resnet18.")

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to the model's stage features, shallow to deep."""
        return tuple(self.model(images))

    def fresh(self) -> TimmTrunk:
        """Return the same model with new random weights."""
        return TimmTrunk(self.name.removeprefix("timm:"), pretrained=False)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__

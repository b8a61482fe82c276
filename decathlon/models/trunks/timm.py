"""Any convolutional timm model as a trunk; its stage features are the taps."""

from __future__ import annotations

import timm
from safetensors import SafetensorError
from torch import Tensor, nn

from decathlon.errors import DataError, UsageError, unknown
from decathlon.models.trunks.hub import fetch_weights, first_line, only_pickle
from decathlon.models.trunks.trunk import Trunk


class TimmTrunk(Trunk):
    """`timm:<model>`: random weights, or the pretrained ones where the name carries a weights tag.

    Those are read as safetensors from the hub's cache: left to itself timm would go on to a pickle.
    Raises UsageError for a name that timm does not know or a model without convolutional stage features.
    """

    def __init__(self, model: str, pretrained: bool | None = None) -> None:
        super().__init__()
        self.name = f"timm:{model}"
        bare, _, tag = model.partition(".")
        if bare not in timm.list_models():
            raise unknown("timm model", bare, timm.list_models())
        pretrained = bool(tag) if pretrained is None else pretrained
        published = _published(model, self.name) if tag or pretrained else None
        weights = _weights(model, self.name, published) if pretrained else None
        try:
            self.model = timm.create_model(model, bool(weights), pretrained_cfg_overlay=weights, features_only=True)
        except (RuntimeError, AttributeError, ValueError) as error:
            reason = first_line(error)
            raise UsageError(f"{self.name} cannot be a trunk: {reason}. Choose a convolutional model.") from error
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


def _published(model: str, name: str) -> str | None:
    """Return the hub's repository for the weights of a tag, if any; raises UsageError for an unknown tag."""
    try:
        known = timm.models.get_pretrained_cfg(model)
    except RuntimeError:  # no weights of that tag
        bare = model.partition(".")[0]
        raise unknown("weights", name, [f"timm:{each}" for each in timm.list_pretrained(f"{bare}.*")]) from None
    return (known and known.hf_hub_id) or None


def _weights(model: str, name: str, repository: str | None) -> dict[str, object]:
    """Return what makes timm read a model's weights from a file of safetensors, after looking that it fits.

    Raises UsageError for weights kept as pickle, DataError for a file of something else.
    """
    if repository is None:
        raise only_pickle(name)
    file = fetch_weights(repository, name)
    weights = {"file": file, "source": "", "custom_load": False}
    try:
        # the whole model: for features alone timm takes any file, and leaves random what it does not hold
        timm.create_model(model, pretrained=True, pretrained_cfg_overlay=weights)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        problem = f"{file} does not hold the weights of {name} ({first_line(error)})"
        raise DataError(f"{problem}. Remove it to fetch it again.") from error
    return weights

"""A domain's network as plain convolutions: adapters merged into them, and norms folded where they follow one."""

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from decathlon.models.layers import FrozenNorm, PointwiseConv
from decathlon.models.surgery import M, named_norms

PLAIN = (nn.Conv2d, PointwiseConv)  # other subclasses may change weight or input in forward


def merge(network: M) -> M:
    """Return a plain copy of a network: equal in evaluation mode, without gradients, sharing no tensor with it."""
    plain = without_adapters(copy.deepcopy(network))
    fold_norms(plain)
    return plain


def without_adapters(network: M) -> M:
    """Replace every module that has `merged()` by its convolution and unwrap frozen norms, in place."""
    for name, child in list(network.named_children()):
        if callable(merged := getattr(child, "merged", None)):
            setattr(network, name, merged())
        elif isinstance(child, FrozenNorm):
            setattr(network, name, child.norm)
        else:
            without_adapters(child)
    return network.eval().requires_grad_(False)


def fold_norms(network: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """Fold every norm possible into the convolution before it, in place; return what `foldable` found."""
    folds, stay = foldable(network)
    for norm, conv in folds.items():
        convolution, following = network.get_submodule(conv), network.get_submodule(norm)
        assert isinstance(convolution, nn.Conv2d) and isinstance(following, nn.BatchNorm2d)
        network.set_submodule(conv, fuse_conv_bn_eval(convolution, following))
        drop_norm(network, norm)
    return folds, stay


def foldable(network: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """Return two maps over the places of all norms: to the convolution each folds into, and to why it stays.

    A norm folds into the convolution right before it when nothing else reads that convolution's output.
    """
    norms = dict(named_norms(network))
    try:
        graph = _Tracer().trace(network)
    except Exception:  # a foreign trunk's forward may do anything to a proxy; unfolded it still works
        return {}, dict.fromkeys(norms, "the network cannot be traced")
    modules = dict(network.named_modules())
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    calls = Counter(str(node.target) for node in nodes)
    folds, stay = {}, dict.fromkeys(norms, "the network does not call it")
    for node in nodes:
        norm, before = str(node.target), node.args[0]
        if norm not in norms or not isinstance(before, fx.Node):
            continue
        conv = str(before.target)
        reason = _obstacle(norms[norm], before, modules.get(conv), max(calls[norm], calls[conv]))
        if reason:
            stay[norm] = reason
        else:
            folds[norm] = conv
            del stay[norm]
    return folds, stay


def drop_norm(network: nn.Module, norm: str) -> None:
    """Remove a norm from a network, in place; keep the activation inside it, which timm's norms have."""
    network.set_submodule(norm, getattr(network.get_submodule(norm), "act", nn.Identity()))


def _obstacle(norm: nn.BatchNorm2d, before: fx.Node, conv: nn.Module | None, calls: int) -> str:
    if before.op != "call_module" or not isinstance(conv, nn.Conv2d):
        return "no convolution directly before it"
    if len(before.users) > 1:
        return "the convolution before it has other readers"
    if type(conv) not in PLAIN or norm.running_mean is None or calls > 1:
        return "the convolution before it is of a special kind"
    return ""


class _Tracer(fx.Tracer):
    """Treats every convolution and norm as a leaf, those of other packages too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)

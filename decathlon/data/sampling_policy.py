"""How a virtual epoch, a fixed number of micro-batches, is shared out among the domains; loads no torch.

proportional   by images: about once through each domain     power:a       by images ** a
uniform        the same number of micro-batches for each     round-robin   uniform, in turn
sequential     proportional, one domain after the other
"""

from decathlon.errors import UsageError, unknown

POLICIES = ("proportional", "uniform", "power:a", "round-robin", "sequential")


def shares(images: list[int], policy: str, batch: int, epoch_batches: int | None = None) -> tuple[int, ...]:
    """Return how many micro-batches of each domain make one virtual epoch; at least one each.

    `images` are the domains' sizes. Without `epoch_batches` the epoch is as long as all images together.
    """
    weights = [count ** exponent(policy) for count in images]
    total = sum(-(-count // batch) for count in images) if epoch_batches is None else epoch_batches
    exact = [total * weight / sum(weights) for weight in weights]
    whole = [int(share) for share in exact]
    remainders = sorted(range(len(images)), key=lambda d: (whole[d] - exact[d], d))
    for domain in remainders[: total - sum(whole)]:
        whole[domain] += 1
    return tuple(max(1, share) for share in whole)


def exponent(policy: str) -> float:
    """Return how a policy weighs a domain by its images; raises UsageError for a policy that does not exist."""
    kind, _, exponent = policy.partition(":")
    if policy in ("uniform", "round-robin"):
        return 0.0
    if policy in ("proportional", "sequential"):
        return 1.0
    if kind != "power":
        raise unknown("sampling policy", policy, POLICIES)
    try:
        value = float(exponent)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise UsageError(f"sampling policy '{policy}' needs an exponent from 0 to 2. Write for example power:0.5.")
    return value

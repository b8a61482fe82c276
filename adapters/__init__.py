"""One file per method: how one domain's network differs from the shared trunk."""

"""One file a method: how one domain's network differs from the shared trunk."""

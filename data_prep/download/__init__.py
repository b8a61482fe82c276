"""Known files from the web: mirrors, resumed transfers, digests."""

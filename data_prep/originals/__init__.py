"""The ten domains from their authors' files, split as the challenge split them."""

"""The `decathlon` command: one thin file per command."""

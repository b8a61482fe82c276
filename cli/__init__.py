"""The `decathlon` command: one thin file a command."""

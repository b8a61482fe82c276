"""The machine: disk, locks, signals, memory, devices, seeds. It knows nothing of domains or networks."""

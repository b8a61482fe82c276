"""The machine: disk, locks, signals, memory, devices, seeds. No word of domains or networks."""

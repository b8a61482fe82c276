"""What one does with runs: request, launch, resume, repeat over seeds, verify."""

"""The official layout: annotations, benchmark.json and `data prepare`."""

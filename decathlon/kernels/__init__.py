"""GPU kernels in Triton, each beside the plain torch reference that it equals: tensors in, tensors out."""

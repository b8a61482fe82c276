"""A Triton program that is built at its first launch: defining it loads nothing and needs no Triton."""

import functools
from collections.abc import Callable
from typing import Any


class Program:
    """A function in Triton's language, decorated; `program[grid](...)` launches it.

    Arguments are tensors and numbers, annotated `tl.tensor` (to the function a tensor is a pointer), and
    `tl.constexpr`, for each value of which Triton compiles again; Triton resolves annotations itself and knows no
    other names. The file imports `tl` for type checking only. No function may be defined inside it: Triton's
    interpreter takes the last `def` of the source for the first.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        """Return the launcher for a grid; all tensors must be on the current device, as for any Triton program."""
        # round products before adding, as torch does; versions of Triton differ in the default
        return functools.partial(self.built[grid], enable_fp_fusion=False)

    @functools.cached_property
    def built(self) -> Any:
        """The function compiled by `triton.jit`."""
        import triton
        import triton.language

        self.function.__globals__["tl"] = triton.language  # where Triton looks for it
        return triton.jit(self.function)


def blocks(elements: int, size: int) -> int:
    """Return the number of blocks of `size` that hold `elements`."""
    return -(-elements // size)


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least `number`: Triton's blocks have no other lengths."""
    return 1 << max(0, number - 1).bit_length()

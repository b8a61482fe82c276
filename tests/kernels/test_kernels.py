"""Kernels: their choice, what they load, that a GPU could run them; grouped convolutions.

What the Triton kernels compute is compared in `tests/kernels/kernels_compared.py`, in a process of its own.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from decathlon.data import image_pool
from decathlon.kernels import choose, folded_mask, grouped, mask
from decathlon.kernels.program import Program, blocks, power_of_two
from tests.data.test_image_pool import ragged_pool
from tests.helpers.marks import slow

COMPARED = Path(__file__).with_name("kernels_compared.py")
KINDS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "uint8": "u8", "int64": "i64"}


def compare(chosen: str) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-m", chosen, str(COMPARED)]
    done = subprocess.run(words, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kernels_equal_their_references() -> None:
    pytest.importorskip("triton")
    compare("not slow")


@pytest.mark.slow
def test_kernels_equal_their_references_on_large_inputs() -> None:
    pytest.importorskip("triton")
    compare("slow")


class Cuda:
    """Stands for a tensor on a GPU."""

    is_cuda = True


def test_the_device_and_a_variable_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_has_triton", lambda: True)
    monkeypatch.delenv("DECATHLON_KERNELS", raising=False)
    on_gpu: Any = Cuda()
    assert choose.enabled(on_gpu) and not choose.enabled(torch.ones(1))
    monkeypatch.setenv("DECATHLON_KERNELS", "0")
    assert not choose.enabled(on_gpu)
    monkeypatch.delenv("DECATHLON_KERNELS")
    monkeypatch.setattr(choose, "_has_triton", lambda: False)
    assert not choose.enabled(on_gpu)


def test_on_a_cpu_the_reference_computes_and_nothing_loads_triton() -> None:
    code = (
        "import sys, torch; sys.modules['triton'] = None\n"  # as if it were not installed
        "from decathlon.kernels import augment, folded_mask, grouped, mask\n"
        "z, s = torch.randn(2, 3, 4, 4), torch.ones(3)\n"
        "assert torch.equal(mask.mask(z, z, s, s), mask.reference(z, z, s, s))\n"
        "u, w, b = torch.randn(5, 8), torch.randn(8, 8), torch.ones(8)\n"
        "assert folded_mask.folded_mask(u, w, b, w, b).shape == (5, 8)\n"
        "ends = torch.tensor([2, 5], dtype=torch.int32)\n"
        "assert grouped.grouped(u, ends, torch.stack([w, w])).shape == (5, 8)\n"
        "assert [name for name in sys.modules if name.startswith('triton')] == ['triton']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def grouped_inputs(counts: list[int], inputs: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(0)
    ends = torch.tensor(counts).cumsum(0).to(torch.int32)
    shapes = (sum(counts), inputs), (len(counts), 10, inputs), (len(counts), 10)
    rows, weight, bias = (torch.randn(shape, generator=made).to(dtype) for shape in shapes)
    return rows, ends, weight, bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inputs", [16, 17])
@pytest.mark.parametrize("counts", [[5], [3, 0, 9], [0, 0, 4], [1, 1, 0]])
def test_grouped_equals_a_product_a_row(counts: list[int], inputs: int, dtype: torch.dtype) -> None:
    rows, ends, weight, bias = grouped_inputs(counts, inputs, dtype)
    domains = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    plain = torch.einsum("ri,roi->ro", rows.float(), weight[domains].float())
    near = 1e-5 if dtype == torch.float32 else 5e-2
    for with_bias in (None, bias):
        expected = plain if with_bias is None else plain + bias[domains].float()
        for compute in (grouped.grouped, grouped.reference):
            found = compute(rows, ends, weight, with_bias)
            assert found.dtype == dtype
            torch.testing.assert_close(found.float(), expected, rtol=near, atol=near)


def test_grouped_has_gradients_and_takes_the_loop_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, ends, weight, bias = grouped_inputs([3, 0, 5], 16, torch.float32)
    monkeypatch.setattr(grouped, "in_one", lambda *_: pytest.fail("grouped_mm was taken"))
    grouped.grouped(rows, ends, weight.requires_grad_(), bias).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and not weight.grad[1].any() and weight.grad[2].any()
    grouped.grouped(rows[:, :15], ends, weight.detach()[:, :, :15])


def test_a_torch_without_grouped_mm_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.nn.functional, "grouped_mm", raising=False)
    grouped.works.cache_clear()
    assert not grouped.works(torch.device("cpu"), torch.float32)
    grouped.works.cache_clear()


def test_blocks_and_powers() -> None:
    assert [blocks(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [power_of_two(n) for n in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]


Launch = tuple[Program, tuple[Any, ...], dict[str, Any]]


def launched(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """Return what calls of all kernels hand to Triton."""
    seen: list[Launch] = []

    def catch(program: Program, grid: tuple[int, ...]) -> Any:
        return lambda *args, **options: seen.append((program, args, options))

    monkeypatch.setattr(Program, "__getitem__", catch)
    pool, _ = ragged_pool()
    image_pool.fused(pool, torch.tensor([0, 1]), torch.rand(3, 2), dtype)
    z = torch.randn(2, 65, 4, 4, dtype=dtype, requires_grad=True)
    mask.fused(z, z, torch.ones(65), torch.ones(65)).sum().backward()  # type: ignore[no-untyped-call]
    weight, square, bias = (torch.randn(shape, dtype=dtype) for shape in ((256, 512), (256, 256), (256,)))
    folded_mask.fused(torch.randn(100, 512, dtype=dtype), weight, bias, square, bias)
    return seen


@pytest.mark.parametrize("dtype", [slow(torch.float32), torch.bfloat16])
@pytest.mark.parametrize(("capability", "shared"), [slow(86, 99), (90, 227)])
def test_a_gpu_could_run_them(
    capability: int, shared: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compile for two GPUs with so many KiB of shared memory a block; this needs none of them."""
    compiler = pytest.importorskip("triton.compiler")
    target = pytest.importorskip("triton.backends.compiler").GPUTarget("cuda", capability, 32)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    names = []
    for program, args, options in launched(dtype, monkeypatch):
        parameters = list(inspect.signature(program.function).parameters)
        at = {name: options.pop(name) for name in parameters if name in options}
        signature = dict.fromkeys(parameters, "constexpr") | dict(zip(parameters, map(kind, args), strict=False))
        constants = {(parameters.index(name),): value for name, value in at.items()}
        aligned = {(i,): [["tt.divisibility", 16]] for i, part in enumerate(args) if isinstance(part, Tensor)}
        source = compiler.ASTSource(program.built, signature, constants, aligned)
        made = compiler.compile(source, target=target, options={"enable_fp_fusion": False, **options})
        assert made.metadata.shared <= shared * 1024, (program.function.__name__, made.metadata.shared)
        names.append(program.function.__name__)
    assert names == ["_cut", "_forward", "_backward", "_attend"]


def kind(part: Tensor | int) -> str:
    """Return how Triton writes the type of an argument."""
    return "*" + KINDS[str(part.dtype).removeprefix("torch.")] if isinstance(part, Tensor) else "i32"

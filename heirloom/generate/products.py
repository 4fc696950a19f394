"""Matrix products in bfloat16 on processors without fast instructions for it.

torch emulates them there, at a third of float32's rate, and with AVX2 alone far below. Computed in
float32 and rounded once, a product is the same number: both ways add up in float32, in another
order.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from heirloom.support.machine import fast_bfloat16


@cache
def through_float32() -> bool:
    """Tell if this machine's processor is faster with products in float32 than in bfloat16."""
    return not fast_bfloat16(Path("/proc/cpuinfo"))


def multiply(product: Callable[..., Tensor], *matrices: Tensor, **options: float) -> Tensor:
    """Compute a product of torch in the fastest way, if its matrices are on a processor.

    Args:
        product: Such as `torch.bmm`.
        matrices: Its arguments, of one number format.
        options: Numbers that it takes beside them.

    Returns:
        What it returns, in the same number format, rounded once.
    """
    first = matrices[0]
    if first.dtype == torch.bfloat16 and _slow_on(first.device):
        return product(*(matrix.float() for matrix in matrices), **options).to(first.dtype)
    return product(*matrices, **options)


def speed_up_products(network: Any, device: torch.device) -> None:
    """Let linear layers compute what they are given in bfloat16 through float32, if it is faster.

    Args:
        network: A network; its weights stay as they are.
        device: Where it is or will be.
    """
    if _slow_on(device):
        for layer in network.modules():
            if type(layer) is torch.nn.Linear:
                layer.__class__ = _Linear


def _slow_on(device: torch.device) -> bool:
    return device.type == "cpu" and through_float32()


class _Linear(torch.nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.bfloat16:
            return super().forward(input)
        output: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return output


class _Product(torch.autograd.Function):
    """A linear layer's product, which keeps no weights in float32 for the backward pass."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input if weight.requires_grad else None, weight)
        widened = None if bias is None else bias.float()
        return functional.linear(input.float(), weight.float(), widened).to(input.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2).float()
        for_input = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_input = (gradient @ weight.float()).to(weight.dtype)
            for_input = for_input.view(*gradients[0].shape[:-1], weight.shape[1])
        if ctx.needs_input_grad[1]:
            for_weight = (gradient.t() @ input.flatten(0, -2).float()).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            for_bias = gradient.sum(0).to(weight.dtype)
        return for_input, for_weight, for_bias

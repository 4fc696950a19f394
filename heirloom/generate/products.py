"""Matrix products in bfloat16 on processors without fast instructions for it.

torch emulates them there, at a third of float32's rate, and with AVX2 alone far below. Computed in
float32 and rounded once, a product is the same number: both ways add up in float32, in another
order.
"""

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


def multiply(
    left: Tensor, right: Tensor, *, scale: float = 1.0, plus: Tensor | None = None
) -> Tensor:
    """Product of two batches of matrices, in the fastest way if these are on a processor.

    Args:
        left: Shape (batch, n, m).
        right: Shape (batch, m, p), of the same number format.
        scale: Factor of the product.
        plus: Summand of the product, of a shape that broadcasts to (batch, n, p).

    Returns:
        Shape (batch, n, p), in the same number format, rounded once.
    """
    plus = left.new_zeros(1) if plus is None else plus
    if left.device.type == "cpu" and left.dtype == torch.bfloat16 and through_float32():
        product = torch.baddbmm(plus.float(), left.float(), right.float(), alpha=scale)
        return product.to(left.dtype)
    return torch.baddbmm(plus, left, right, alpha=scale)


def use_float32_products(network: Any) -> None:
    """Let the linear layers of a network compute through float32 what they are given in bfloat16.

    Args:
        network: A network on the processor; its weights stay as they are.
    """
    for layer in network.modules():
        if type(layer) is torch.nn.Linear:
            layer.__class__ = _Linear


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

"""Linear layers with LoRA as one operation each, for fewer passes over memory.

The result is PEFT's, computed in another order: numbers differ by rounding alone.
"""

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def fuse_adapters(model: Any) -> int:
    """Make the adapted linear layers of a PEFT model compute base and adapter together.

    For training alone: merging or disabling the adapter afterwards has no effect on `model`.
    Quantised layers keep PEFT's implementation.

    Returns:
        Number of layers that were changed.
    """
    fused = [
        layer
        for layer in model.modules()
        if type(layer) is lora.Linear and type(layer.base_layer) is torch.nn.Linear
    ]
    for layer in fused:
        layer.forward = _Forward(layer)
    return len(fused)


class _Forward:
    """Replacement of an adapted layer's `forward`."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, inputs: Tensor) -> Tensor:
        (name,) = self.layer.active_adapters
        base = self.layer.base_layer
        a, b = self.layer.lora_A[name].weight, self.layer.lora_B[name].weight
        output: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
            inputs, base.weight, base.bias, a, b, self.layer.scaling[name]
        )
        return output


class _AdaptedLinear(torch.autograd.Function):
    """x W' + bias + scale (x A') B', in the dtype of W, which is frozen.

    One operation saves the passes over outputs and gradients that scaling and adding them cost.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
            low = rows @ a.to(weight.dtype).t()
            output = functional.linear(rows, weight, bias)
            output.addmm_(low, b.to(weight.dtype).t(), alpha=scale)
        ctx.save_for_backward(rows, weight, a, b, low)
        ctx.scale, ctx.dtype, ctx.shape = scale, x.dtype, x.shape
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, low = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1]).to(weight.dtype)
        low_gradient = (gradient @ b.to(weight.dtype)).mul_(ctx.scale)
        x_gradient = None
        if ctx.needs_input_grad[0]:  # not below the first adapter
            x_gradient = gradient @ weight
            x_gradient.addmm_(low_gradient, a.to(weight.dtype))
            x_gradient = x_gradient.view(ctx.shape).to(ctx.dtype)
        a_gradient = (low_gradient.t() @ rows).to(a.dtype)
        # Not gradient.t() @ low: the wide matrix is read along its rows so.
        b_gradient = (low.t() @ gradient).t().mul(ctx.scale).to(b.dtype)
        return x_gradient, None, None, a_gradient, b_gradient, None

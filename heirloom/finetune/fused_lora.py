"""Linear layers with LoRA as one operation each, for fewer passes over memory.

The result is PEFT's, computed in another order: numbers differ by rounding alone.
"""

import logging
from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from heirloom.generate.shortcuts import short_texts

logger = logging.getLogger(__name__)


def fuse_adapters(model: Any) -> int:
    """Make the adapted linear layers of a PEFT model compute base and adapter together.

    For training alone: merging or disabling the adapter afterwards has no effect on `model`.
    Quantised layers keep PEFT's implementation, and so do all where a model does something with
    them that fused ones do not bear, or that makes other gradients: both are tried on a short text.

    Returns:
        Number of layers that were changed.
    """
    fused = [
        layer
        for layer in model.modules()
        if type(layer) is lora.Linear and type(layer.base_layer) is torch.nn.Linear
    ]
    if not fused:
        return 0
    exact = _trial(model)
    for layer in fused:
        layer.forward = _Forward(layer)
    try:
        (logits, *gradients), (exact_logits, *exact_gradients) = _trial(model), exact
        # In 16 bits those of a single weight differ by up to 0.27 (SmolLM2) and 0.16 (Gemma 3) by
        # rounding alone, in float32 by 4e-6.
        bound = 0.05 if model.dtype == torch.float32 else 0.5
        fits = _close(logits, exact_logits, 0.05) and all(
            _close(*pair, bound) for pair in zip(gradients, exact_gradients, strict=True)
        )
    except RuntimeError:  # of autograd
        fits = False
    if fits:
        return len(fused)
    logger.info("adapters are computed by PEFT's own layers, which this model needs")
    for layer in fused:
        del layer.forward
    return 0


def _trial(model: Any) -> list[Tensor]:
    """Return a short text's logits, and the gradients that the adapter's weights get from them.

    The second factor of an adapter is zero until it is trained, and would hide most of it: random
    numbers of our own stand in.
    """
    text = torch.tensor(short_texts(model)[1:], device=model.device)
    adapters = {name: w for name, w in model.named_parameters() if w.requires_grad}
    generator = torch.Generator().manual_seed(0)
    before = {name: w.detach().clone() for name, w in adapters.items()}
    try:
        with torch.no_grad():
            for weight in adapters.values():
                drawn = torch.randn(weight.shape, generator=generator) / weight.shape[-1]
                weight.copy_(drawn)
        logits = model(input_ids=text).logits.float()
        losses = functional.cross_entropy(logits[0, :-1], text[0, 1:])
        gradients = torch.autograd.grad(losses, list(adapters.values()), allow_unused=True)
    finally:
        with torch.no_grad():
            for name, weight in adapters.items():
                weight.copy_(before[name])
    kept = [g if g is not None else torch.zeros(1) for g in gradients]
    return [logits.detach(), *kept]


def _close(found: Tensor, exact: Tensor, bound: float) -> bool:
    """Tell if two tensors differ by no more than a share of their norm."""
    return bool((found - exact).norm() <= bound * exact.norm() + 1e-6)


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
        dtype = x.dtype
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(weight.dtype)
            rows = x.reshape(-1, x.shape[-1])
            low = rows @ a.to(weight.dtype).t()
            output = functional.linear(x, weight, bias)
            output.view(-1, output.shape[-1]).addmm_(low, b.to(weight.dtype).t(), alpha=scale)
        ctx.save_for_backward(rows, weight, a, b, low)
        ctx.scale, ctx.dtype, ctx.shape = scale, dtype, x.shape
        return output  # no view, which the model could not change in place

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

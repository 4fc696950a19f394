"""The loss of finetuning: cross-entropy on the tokens of the completion."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from heirloom.finetune.packing import IGNORED


def completion_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Mean cross-entropy over the tokens with loss of the whole step.

    Args:
        outputs: Output of a model for a batch of `pack`: logits where the next token carries loss,
            and nowhere else if the model can: the head of a small model with a large vocabulary is
            a third of its work.
        labels: Shape (1, tokens).
        num_items_in_batch: Number of tokens with loss in the whole step; None: those of `labels`.

    Returns:
        A scalar; its sum over the micro-batches of a step is the loss of the step.
    """
    targets = labels[0, 1:]  # the logits at a position predict the token after it
    with_loss = targets != IGNORED
    targets = targets[with_loss]
    n = len(targets) if num_items_in_batch is None else num_items_in_batch
    # A view: taking row 0 would fill a second such tensor with zeros on the way back.
    logits = outputs.logits.flatten(0, 1)
    if len(logits) == labels.shape[1]:  # of every position, from a model that has no choice
        logits = logits[:-1][with_loss]
    return cross_entropy(logits, targets) / max(n, 1)  # no token may carry loss


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the cross-entropies, in float32. `logits` is overwritten with their gradient.

    With a vocabulary of 50,000 and more the logits are the largest tensor of a step: it exists once
    here, not four times, and is never copied whole to float32.

    Args:
        logits: Shape (tokens, vocabulary). Nothing else may use them afterwards.
        targets: The target tokens, shape (tokens,).

    Returns:
        A scalar.
    """
    total: Tensor = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return total


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros((), device=logits.device)
        own = logits.detach()
        # A few rows at a time, which stay in a processor's cache.
        blocks = (torch.split(tensor, _ROWS) for tensor in (own, targets[:, None]))
        for rows, right in zip(*blocks, strict=True):
            values = rows.float()  # `rows` themselves where they are float32
            log_sum = values.logsumexp(1, keepdim=True)
            total += (log_sum - values.gather(1, right)).sum()
            values.sub_(log_sum).exp_()
            values.scatter_add_(1, right, torch.full_like(log_sum, -1.0))
            if values is not rows:
                rows.copy_(values)
        ctx.save_for_backward(logits)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (logits_gradient,) = ctx.saved_tensors
        return logits_gradient.detach().mul_(gradient), None


_ROWS = 64

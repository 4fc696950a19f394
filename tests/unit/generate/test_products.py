"""Products in bfloat16 through float32."""

import pytest
import torch
from torch import Tensor

from heirloom.generate import products


def spacing(values: Tensor) -> Tensor:
    """Distance of neighbouring bfloat16 numbers (8 bits of significand) at these values."""
    return 2.0 ** (values.abs().clamp_min(1e-30).log2().floor() - 7)


def assert_rounded_once(found: Tensor, exact: Tensor) -> None:
    """Half a spacing is rounding; a tenth more is left for float32's sums."""
    assert found.dtype == torch.bfloat16
    assert ((found.double() - exact).abs() <= 0.55 * spacing(exact) + 1e-5).all()


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.setattr(products, "through_float32", lambda: True)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(96, 40)).to(torch.bfloat16)
    products.speed_up_products(network, torch.device("cpu"))
    assert type(network[0]) is not torch.nn.Linear
    return network


def test_a_linear_layer_and_its_gradients_are_rounded_once(layer: torch.nn.Module) -> None:
    inputs = torch.randn(3, 7, 96).bfloat16().requires_grad_()
    weight, bias = (p.detach().double() for p in layer.parameters())
    upstream = torch.randn(3, 7, 40).bfloat16()
    output = layer(inputs)
    output.backward(upstream)
    assert_rounded_once(output.detach(), inputs.detach().double() @ weight.T + bias)
    found = [inputs.grad, *(p.grad for p in layer.parameters())]
    flat, rows = upstream.double().flatten(0, 1), inputs.detach().double().flatten(0, 1)
    for gradient, exact in zip(
        found, [upstream.double() @ weight, flat.T @ rows, flat.sum(0)], strict=True
    ):
        assert gradient is not None
        assert_rounded_once(gradient, exact)


def test_a_frozen_layer_gets_no_gradient(layer: torch.nn.Module) -> None:
    layer.requires_grad_(False)
    inputs = torch.randn(2, 96).bfloat16().requires_grad_()
    layer(inputs).sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_other_number_formats_are_computed_as_they_are(layer: torch.nn.Module) -> None:
    inputs = torch.randn(2, 96)
    widened = layer.float()
    weight, bias = widened.parameters()
    assert torch.equal(widened(inputs), torch.nn.functional.linear(inputs, weight, bias))


@pytest.mark.parametrize("through", [True, False])
def test_both_ways_to_multiply_batches_agree(
    monkeypatch: pytest.MonkeyPatch, through: bool
) -> None:
    monkeypatch.setattr(products, "through_float32", lambda: through)
    torch.manual_seed(0)
    left, right, plus = (torch.randn(*s).bfloat16() for s in [(4, 5, 64), (4, 64, 6), (5, 6)])
    exact = left.double() @ right.double()
    assert_rounded_once(products.multiply(torch.bmm, left, right), exact)
    # 1/8 is a power of two: the factor adds no rounding.
    zero = torch.zeros_like(plus)
    scaled = products.multiply(torch.baddbmm, zero, left, right, alpha=0.125)
    assert_rounded_once(scaled, exact / 8)
    hidden = products.multiply(torch.baddbmm, plus.fill_(float("-inf")), left, right)
    assert (hidden == float("-inf")).all()

"""Trace a model of transformers into OpenVINO's graph, its weights left out.

The weights that are left out are the two-dimensional ones: nearly all of them. Norms and biases
stay in the graph as constants.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.utils.logging import get_verbosity, set_verbosity, set_verbosity_error

from heirloom.generate.decoders.openvino_runtime import UnconvertibleError, import_openvino

_ATTENTION = "heirloom_openvino"
_INPUTS = ["input_ids", "attention_mask", "position_ids", "rows"]


def weights_2d(network: Any) -> dict[str, Tensor]:
    """Return the model's two-dimensional weights, each once, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.ndim == 2}


@dataclass(frozen=True)
class Graph:
    """A traced model.

    Attributes:
        model: OpenVINO's graph with its cache as state. Inputs: input_ids, attention_mask,
            position_ids, rows (see `_Traced`), beam_idx, by which states are reordered, and the
            weights by name; output: logits.
        windows: Number of tokens that each layer sees, 0 for all.
        whole: Every weight is an input of the graph. One that is not stays in it as it is.
    """

    model: Any
    windows: list[int]
    whole: bool


@torch.no_grad()
def trace(network: Any) -> Graph:
    """Trace a causal language model of transformers, which is left as it is.

    Raises:
        UnconvertibleError: Its attention has something that the graph would not have.
    """
    if network.device.type != "cpu" or network.dtype != torch.float32:
        network = copy.deepcopy(network).to("cpu", torch.float32)
    shape = _CacheShape.of(network)
    weights = weights_2d(network)
    model, windows, aliases = _convert(network, shape, weights)
    _name_ports(model, shape)
    _make_stateful(model, shape)
    return Graph(model, windows, _take_out(model, weights, aliases))


@dataclass(frozen=True)
class _CacheShape:
    """Sizes of a model's key-value cache: layers, heads and width of a head."""

    layers: int
    heads: int
    width: int

    @classmethod
    def of(cls, network: Any) -> "_CacheShape":
        config = network.config.get_text_config()
        width = getattr(config, "head_dim", None)
        return cls(
            config.num_hidden_layers,
            config.num_key_value_heads,
            width or config.hidden_size // config.num_attention_heads,
        )

    @property
    def states(self) -> list[str]:
        """Names of keys and values of each layer by turns."""
        return [f"{layer}.{kind}" for layer in range(self.layers) for kind in ("key", "value")]


def _convert(
    network: Any, shape: _CacheShape, weights: Mapping[str, Tensor]
) -> tuple[Any, list[int], dict[str, str]]:
    """Trace and convert; return the graph, the windows, and the weights' names by the graph's."""
    example = (
        torch.ones(2, 2, dtype=torch.long),
        torch.ones(2, 5, dtype=torch.long),
        torch.arange(3, 5).repeat(2, 1),
        torch.tensor([1, 3]),
        *(torch.randn(2, shape.heads, 3, shape.width) for _ in shape.states),
    )
    past = [-1, shape.heads, -1, shape.width]
    head = _Head(network.get_output_embeddings())
    traced = _Traced(network, head)
    before = network.config._attn_implementation
    AttentionInterface.register(_ATTENTION, traced.attention)
    verbosity = get_verbosity()
    set_verbosity_error()  # the tracer reads every attribute of the model, outdated ones too
    try:
        network.set_attn_implementation(_ATTENTION)
        network.set_output_embeddings(head)
        own = {id(weight): name for name, weight in weights.items()}
        aliases = {
            f"self.{alias}": own[id(weight)]
            for alias, weight in traced.named_parameters(remove_duplicate=False)
            if id(weight) in own
        }
        with warnings.catch_warnings(action="ignore"):  # of sizes that become constants
            # Its own check takes as long as the rest; `OpenVinoDecoder` compares the whole.
            script = torch.jit.trace(  # type: ignore[no-untyped-call]
                traced.eval(), example, strict=False, check_trace=False
            )
            model = import_openvino().convert_model(
                script,
                example_input=example,
                input=[[-1, -1], [-1, -1], [-1, -1], [-1], *([past] * len(shape.states))],
            )
    finally:
        set_verbosity(verbosity)
        network.set_output_embeddings(head.head)
        network.set_attn_implementation(before)
    return model, traced.windows, aliases


def _name_ports(model: Any, shape: _CacheShape) -> None:
    inputs = [*_INPUTS, *(f"past.{state}" for state in shape.states)]
    outputs = ["logits", *(f"now.{state}" for state in shape.states)]
    for port, name in [
        *zip(model.inputs, inputs, strict=True),
        *zip(model.outputs, outputs, strict=True),
    ]:
        port.get_tensor().set_names({name})


def _make_stateful(model: Any, shape: _CacheShape) -> None:
    """Turn the cache from inputs and outputs into states that are reordered by beam_idx.

    This form of a cache is the one that OpenVINO makes paged.
    """
    openvino = import_openvino()
    from openvino import opset14 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    order = ops.parameter([-1], openvino.Type.i32, name="beam_idx")
    order.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([order])
    first = ops.constant(0, dtype=np.int64)
    for port in model.inputs[len(_INPUTS) : len(_INPUTS) + len(shape.states)]:
        readers = port.get_target_inputs()
        reordered = ops.gather(port.get_node(), order, first).output(0)
        for reader in readers:
            reader.replace_source_output(reordered)
    model.validate_nodes_and_infer_types()
    pairs = {f"past.{state}": f"now.{state}" for state in shape.states}
    apply_make_stateful_transformation(model, pairs)

    # At first a state has no tokens, and as many rows as input_ids.
    sizes = ops.shape_of(model.input("input_ids").get_node(), output_type="i64")
    batch = ops.gather(sizes, ops.constant(np.array([0])), first)
    rest = ops.constant(np.array([shape.heads, 0, shape.width]))
    empty = ops.broadcast(ops.constant(np.float32(0)), ops.concat([batch, rest], 0)).output(0)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([empty])


def _take_out(model: Any, weights: Mapping[str, Tensor], aliases: Mapping[str, str]) -> bool:
    """Make the weights inputs of the graph, by their names; return True if all were found.

    Args:
        model: The graph.
        weights: Of the model, float32, by name.
        aliases: Those names by the graph's own.
    """
    openvino = import_openvino()
    from openvino import opset14 as ops

    found = set()
    for node in model.get_ordered_ops():
        name = aliases.get(node.get_friendly_name())
        if node.get_type_name() != "Constant" or name is None:
            continue
        if not np.array_equal(node.data, weights[name].numpy()):
            continue  # it was changed on the way: transposed, or made one with another
        place = ops.parameter(list(node.shape), openvino.Type.f32, name=name)
        place.output(0).get_tensor().set_names({name})
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(place.output(0))
        model.add_parameters([place])
        found.add(name)
    model.validate_nodes_and_infer_types()
    return found == weights.keys()


class _PastLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values so far, as inputs of the graph [batch, heads, tokens, width]."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, and return all there are."""
        self.keys = torch.cat([self.keys, key_states], 2)
        self.values = torch.cat([self.values, value_states], 2)
        return self.keys, self.values


class _Head(torch.nn.Module):
    """The head on the rows asked for alone: a prompt's other tokens need no logits."""

    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head = head
        self.rows: Tensor  # set before each call

    def forward(self, hidden: Tensor) -> Any:
        """Return logits [1, rows, vocabulary] of hidden states [batch, tokens, width]."""
        return self.head(hidden.flatten(0, 1).index_select(0, self.rows)[None])


class _Traced(torch.nn.Module):
    """A model as a function of tensors alone, for the tracer."""

    def __init__(self, network: Any, head: _Head) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.windows: list[int] = []  # of each layer: number of tokens that it sees, 0 for all

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        rows: Tensor,
        *past: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return logits [rows, vocabulary], then keys and values of each layer.

        Args:
            input_ids: New tokens [batch, tokens].
            attention_mask: 1 for tokens that are there [batch, past and new tokens].
            position_ids: Positions of the new ones [batch, tokens].
            rows: Those of batch x tokens that need logits.
            past: Keys and values of each layer by turns [batch, heads, past tokens, width].
        """
        all_tokens = torch.arange(attention_mask.shape[1])
        new_tokens = all_tokens[attention_mask.shape[1] - input_ids.shape[1] :]
        causal = (all_tokens[None, :] <= new_tokens[:, None])[None, None]
        visible = causal & attention_mask[:, None, None, :].bool()
        self.mask = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
        self.windows = []
        self.head.rows = rows
        cache = Cache(
            layers=[_PastLayer(*pair) for pair in zip(past[::2], past[1::2], strict=True)]
        )
        output = self.network(
            input_ids=input_ids, position_ids=position_ids, past_key_values=cache, use_cache=True
        )
        present = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        return output.logits[0], *present

    def attention(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        """Attend as OpenVINO recognises it; tensors [batch, heads, tokens, width].

        The window is only noted, for the paged cache.
        """
        if options.get("softcap") is not None or options.get("s_aux") is not None:
            raise UnconvertibleError("its attention has soft caps or sinks")
        self.windows.append(options.get("sliding_window") or 0)
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = (
                states[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)
                for states in (key, value)
            )
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self.mask, scale=options.get("scaling")
        )
        return output.transpose(1, 2), None

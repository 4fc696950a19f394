"""A network of transformers as OpenVINO's graph, compiled with a paged key-value cache.

Tracing takes most of the time, and all that it looks at is the network's structure. So the graph is
traced with its matrices left out, kept in the cache that studies share, and every model of the same
structure, such as the students of one base, puts its own matrices in.
"""

import copy
import ctypes
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.utils.logging import get_verbosity, set_verbosity, set_verbosity_error

from heirloom.fetch.cache import cache_root
from heirloom.support.files import sha256
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)

BLOCK = 32  # tokens in a block of the cache; what OpenVINO prescribes on processors
_GROUP = 32  # numbers that share a scale when rounded to 8 bits
_FEWEST = 1024  # smaller matrices are not rounded
_ATTENTION = "heirloom_openvino"
# Inputs of the operation PagedAttentionExtension.
_KEY_CACHE, _WINDOW = 3, 10
_WINDOWS = "heirloom_windows"  # where a kept graph notes its layers' windows


class UnconvertibleError(Exception):
    """The network has something in it that OpenVINO's graph would not have."""


def import_openvino() -> Any:
    """OpenVINO without its telemetry, which else reports every import and conversion by network.

    OpenVINO does without that package where it cannot be imported, which is what None says.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def compile_network(network: Any, rounding: str) -> Any:
    """A causal language model as a compiled OpenVINO model with a paged cache.

    Inputs are those of OpenVINO's PagedAttention, and `rows`: which of the tokens need logits.

    Args:
        network: A causal language model of transformers. It is left as it is.
        rounding: `"float32"`, `"bfloat16"`, or `"int8"`: matrices, and each token's activations,
            rounded to 8 bits in groups of 32.

    Raises:
        UnconvertibleError: its attention has something that the graph would not.
    """
    model, windows = _graph(network)
    _put_in(model, _matrices(network), rounding)
    _make_paged(model, windows)
    compiled = (
        import_openvino()
        .Core()
        .compile_model(
            model,
            "CPU",
            {
                # Snakemake runs jobs side by side: this one must keep to its threads, not to cores.
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "ENABLE_CPU_PINNING": False,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "bf16" if rounding == "bfloat16" else "f32",
                "KV_CACHE_PRECISION": {"float32": "f32", "bfloat16": "bf16", "int8": "f16"}[
                    rounding
                ],
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if rounding == "int8" else 0,
                # Kernels kept for sizes that come up again: of all sizes they would never end.
                "CPU_RUNTIME_CACHE_CAPACITY": 256,
            },
        )
    )
    del model
    return_memory()
    return compiled


def return_memory() -> None:
    """Give freed memory back, which glibc keeps: 0.8 GB after the conversion of Gemma 3 270M."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _matrices(network: Any) -> dict[str, Tensor]:
    """The network's matrices, each once, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.ndim == 2}


def _graph(network: Any) -> tuple[Any, list[int]]:
    """The network's graph without its matrices, kept or traced, and each layer's window."""
    openvino = import_openvino()
    folder = cache_root() / "graphs" / _structure(network)
    file = folder / "graph.xml"
    if file.exists():
        model = openvino.Core().read_model(file)
        return model, json.loads(model.get_rt_info(_WINDOWS).astype(str))
    model, windows, whole = _trace(network)
    if whole:
        model.set_rt_info(json.dumps(windows), _WINDOWS)
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        openvino.save_model(model, made / file.name, compress_to_fp16=False)
        try:
            made.rename(folder)
        except OSError:  # another job was first
            shutil.rmtree(made)
    return model, windows


def _structure(network: Any) -> str:
    """A name for everything that a kept graph has in it: all but the matrices."""
    digest = hashlib.sha256()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        if tensor.ndim != 2:
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return fingerprint(
        [
            sha256(__file__),
            [version(package) for package in ("openvino", "torch", "transformers")],
            network.config.to_json_string(use_diff=False),
            digest.hexdigest(),
        ]
    )


class _PastLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values so far, as inputs of the graph [batch, heads, tokens, width]."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values; return all there are."""
        self.keys = torch.cat([self.keys, key_states], 2)
        self.values = torch.cat([self.values, value_states], 2)
        return self.keys, self.values


class _Head(torch.nn.Module):
    """The head, on the rows asked for only: a prompt's other tokens need no logits."""

    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head = head
        self.rows: Tensor  # set before each call

    def forward(self, hidden: Tensor) -> Any:
        """Logits [1, rows, vocabulary] of hidden states [batch, tokens, width]."""
        return self.head(hidden.flatten(0, 1).index_select(0, self.rows)[None])


class _Traced(torch.nn.Module):
    """The network as a function of tensors alone, for the tracer."""

    def __init__(self, network: Any, head: _Head) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.windows: list[int] = []  # of each layer: how many tokens it sees, 0 for all

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        rows: Tensor,
        *past: Tensor,
    ) -> tuple[Tensor, ...]:
        """Logits [rows, vocabulary], then keys and values of each layer.

        Args:
            input_ids: New tokens [batch, tokens].
            attention_mask: Which of all tokens are there [batch, past and new tokens].
            position_ids: Positions of the new ones [batch, tokens].
            rows: Which of batch x tokens need logits.
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
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """Attention as OpenVINO recognises it; tensors [batch, heads, tokens, width].

        The window is only noted, for `_make_paged` to set.
        """
        if softcap is not None or s_aux is not None:
            raise UnconvertibleError("its attention has soft caps or sinks")
        self.windows.append(sliding_window or 0)
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = (
                states[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)
                for states in (key, value)
            )
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self.mask, scale=scaling
        )
        return output.transpose(1, 2), None


@torch.no_grad()
def _trace(network: Any) -> tuple[Any, list[int], bool]:
    """The network as OpenVINO's graph with its cache as state.

    Inputs: input_ids, attention_mask, position_ids, rows (see `_Traced`), beam_idx, by which
    states are reordered, and the network's matrices; output: logits.

    Returns:
        The graph; how many tokens each layer sees, 0 for all; and whether every matrix is an input
        of the graph. One that is not stays in it as it is.
    """
    openvino = import_openvino()
    from openvino import opset14 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    if network.device.type != "cpu" or network.dtype != torch.float32:
        network = copy.deepcopy(network).to("cpu", torch.float32)
    config = network.config.get_text_config()
    layers, heads = config.num_hidden_layers, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    past = [-1, heads, -1, width]
    example = (
        torch.ones(2, 2, dtype=torch.long),
        torch.ones(2, 5, dtype=torch.long),
        torch.arange(3, 5).repeat(2, 1),
        torch.tensor([1, 3]),
        *(torch.randn(2, heads, 3, width) for _ in range(2 * layers)),
    )
    matrices = _matrices(network)
    head = _Head(network.get_output_embeddings())
    traced = _Traced(network, head)
    before = network.config._attn_implementation
    AttentionInterface.register(_ATTENTION, traced.attention)
    verbosity = get_verbosity()
    set_verbosity_error()  # the tracer reads every attribute of the network, outdated ones too
    try:
        network.set_attn_implementation(_ATTENTION)
        network.set_output_embeddings(head)
        own = {id(weight): name for name, weight in matrices.items()}
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
            model = openvino.convert_model(
                script,
                example_input=example,
                input=[[-1, -1], [-1, -1], [-1, -1], [-1], *([past] * (2 * layers))],
            )
    finally:
        set_verbosity(verbosity)
        network.set_output_embeddings(head.head)
        network.set_attn_implementation(before)

    names = ["input_ids", "attention_mask", "position_ids", "rows"]
    states = [f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
    for port, name in zip(model.inputs, [*names, *(f"past.{s}" for s in states)], strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, ["logits", *(f"now.{s}" for s in states)], strict=True):
        port.get_tensor().set_names({name})

    # What reads a past reads it reordered: a form of cache that OpenVINO makes paged.
    order = ops.parameter([-1], openvino.Type.i32, name="beam_idx")
    order.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([order])
    first = ops.constant(0, dtype=np.int64)
    for port in model.inputs[len(names) : len(names) + len(states)]:
        readers = port.get_target_inputs()
        reordered = ops.gather(port.get_node(), order, first).output(0)
        for reader in readers:
            reader.replace_source_output(reordered)
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(model, {f"past.{s}": f"now.{s}" for s in states})

    # At first a state has no tokens, and as many rows as input_ids.
    shape = ops.shape_of(model.input("input_ids").get_node(), output_type="i64")
    batch = ops.gather(shape, ops.constant(np.array([0])), first)
    rest = ops.constant(np.array([heads, 0, width]))
    empty = ops.broadcast(ops.constant(np.float32(0)), ops.concat([batch, rest], 0)).output(0)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([empty])
    whole = _take_out(model, matrices, aliases)
    return model, traced.windows, whole


def _take_out(model: Any, matrices: Mapping[str, Tensor], aliases: Mapping[str, str]) -> bool:
    """Make the matrices inputs of the graph, by their names; say whether all were found.

    Args:
        model: The graph.
        matrices: The network's, float32, by name.
        aliases: Those names by the graph's own.
    """
    openvino = import_openvino()
    from openvino import opset14 as ops

    found = set()
    for node in model.get_ordered_ops():
        name = aliases.get(node.get_friendly_name())
        if node.get_type_name() != "Constant" or name is None:
            continue
        if not np.array_equal(node.data, matrices[name].numpy()):
            continue  # it was changed on the way: transposed, or made one with another
        place = ops.parameter(list(node.shape), openvino.Type.f32, name=name)
        place.output(0).get_tensor().set_names({name})
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(place.output(0))
        model.add_parameters([place])
        found.add(name)
    model.validate_nodes_and_infer_types()
    return found == matrices.keys()


def _put_in(model: Any, matrices: Mapping[str, Tensor], rounding: str) -> None:
    """Put the network's matrices where the graph has inputs of their names."""
    from openvino import opset14 as ops

    for place in model.get_parameters():
        if place.get_friendly_name() not in matrices:
            continue
        matrix = matrices[place.get_friendly_name()].detach().cpu().float().numpy()
        exact = rounded = None
        for reader in place.output(0).get_target_inputs():
            if rounding == "int8" and matrix.size >= _FEWEST and _is_factor(reader):
                rounded = rounded or _rounded(matrix)
                reader.replace_source_output(rounded)
            else:
                # Not copied: it is the network's own memory, or laid out anew for OpenVINO.
                exact = exact or ops.constant(np.ascontiguousarray(matrix), shared_memory=True)
                reader.replace_source_output(exact.output(0))
        model.remove_parameter(place)
    model.validate_nodes_and_infer_types()


def _is_factor(reader: Any) -> bool:
    """Whether this input is the transposed matrix of a product."""
    node = reader.get_node()
    return bool(
        node.get_type_name() == "MatMul"
        and reader.get_index() == 1
        and node.get_attributes()["transpose_b"]
    )


def _rounded(matrix: NDArray[Any]) -> Any:
    """A matrix rounded to 8 bits, a scale for 32 of a row, as a part of a graph."""
    from openvino import opset14 as ops

    integers, scales = _round(matrix)
    product = ops.multiply(ops.convert(ops.constant(integers), "f32"), ops.constant(scales))
    return ops.reshape(product, ops.constant(np.array(matrix.shape)), False).output(0)


def _round(matrix: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers from -127 to 127 [rows, groups, 32] and the scales to multiply by [rows, groups, 1].

    Where 32 does not divide a row, the row is one group.
    """
    rows, columns = matrix.shape
    group = columns if columns % _GROUP else _GROUP
    grouped = matrix.astype(np.float32, copy=False).reshape(rows, -1, group)
    integers = np.empty(grouped.shape, dtype=np.int8)
    scales = np.empty((*grouped.shape[:2], 1), dtype=np.float32)
    for start in range(0, rows, 1024):  # a copy of a whole head would be the peak of memory
        part = slice(start, start + 1024)
        scales[part] = np.abs(grouped[part]).max(-1, keepdims=True) / 127
        scales[part][scales[part] == 0] = 1  # all zeros: any scale will do
        integers[part] = np.rint(grouped[part] / scales[part])
    return integers, scales


def _make_paged(model: Any, windows: Sequence[int]) -> None:
    """Replace the graph's states by a paged cache, each layer with its window."""
    from openvino import opset14 as ops
    from openvino._offline_transformations import paged_attention_transformation

    paged_attention_transformation(model)
    found = [n for n in model.get_ordered_ops() if n.get_type_name() == "PagedAttentionExtension"]
    if len(found) != len(windows):
        raise UnconvertibleError(f"{len(windows)} layers attend, {len(found)} were recognised")
    for node in found:
        layer = int(node.input_value(_KEY_CACHE).get_node().get_friendly_name().split(".")[1])
        window = ops.constant(np.int32(windows[layer]))
        node.input(_WINDOW).replace_source_output(window.output(0))
    model.validate_nodes_and_infer_types()

"""A model of transformers as OpenVINO's graph, compiled with a paged key-value cache.

Tracing takes most of the time, and all that it looks at is the model's structure. So the graph is
traced with its weights left out, kept in the cache that studies share, and every model of the same
structure, such as the students of one base, puts its own weights in.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from heirloom.fetch.cache import cache_path
from heirloom.generate.decoders import openvino_trace
from heirloom.generate.decoders.openvino_runtime import (
    UnconvertibleError,
    import_openvino,
    return_memory,
)
from heirloom.generate.decoders.openvino_trace import Graph, trace, weights_2d
from heirloom.generate.decoders.openvino_weights import GROUP, put_in
from heirloom.support.files import sha256
from heirloom.support.work_folder import fingerprint

logger = logging.getLogger(__name__)

BLOCK = 32  # tokens in a block of the cache; what OpenVINO prescribes on processors
# Inputs of the operation PagedAttentionExtension.
_KEY_CACHE, _WINDOW = 3, 10
_WINDOWS = "heirloom_windows"  # where a kept graph notes its layers' windows


def compile_network(network: Any, precision: str) -> Any:
    """Compile a causal language model into an OpenVINO model with a paged cache.

    Inputs are those of OpenVINO's PagedAttention, and `rows`: the tokens that need logits.

    Args:
        network: A causal language model of transformers. It is left as it is.
        precision: `"float32"`, `"bfloat16"`, or `"int8"`: weights, and each token's activations,
            int8-quantised in groups of 32.

    Raises:
        UnconvertibleError: Its attention has something that the graph would not have.
    """
    model, windows = _graph(network)
    put_in(model, weights_2d(network), precision)
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
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
                "KV_CACHE_PRECISION": {"float32": "f32", "bfloat16": "bf16", "int8": "f16"}[
                    precision
                ],
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP if precision == "int8" else 0,
                # Kernels kept for sizes that come up again: of all sizes they would never end.
                "CPU_RUNTIME_CACHE_CAPACITY": 256,
            },
        )
    )
    del model
    return_memory()
    return compiled


def _graph(network: Any) -> tuple[Any, list[int]]:
    """Return a model's graph without its weights, kept or traced, and each layer's window.

    A graph that has just been traced is kept and read back. Traced, it has notes for OpenVINO that
    a file does not keep, and by which int8-quantised products round otherwise: a completion would
    depend on whose job came first.
    """
    file = cache_path("graphs", _structure(network)) / "graph.xml"
    if not file.exists():
        traced = trace(network)
        if not traced.whole:
            return traced.model, traced.windows
        traced.model.set_rt_info(json.dumps(traced.windows), _WINDOWS)
        try:
            _keep(traced, file)
        except OSError as error:
            logger.warning("the graph cannot be kept in %s: %s", file.parent, error.strerror)
            with tempfile.TemporaryDirectory() as folder:
                return _read(_save(traced, Path(folder) / file.name))
    return _read(file)


def _read(file: Path) -> tuple[Any, list[int]]:
    model = import_openvino().Core().read_model(file)
    return model, json.loads(model.get_rt_info(_WINDOWS).astype(str))


def _save(traced: Graph, file: Path) -> Path:
    import_openvino().save_model(traced.model, file, compress_to_fp16=False)
    return file


def _keep(traced: Graph, file: Path) -> None:
    """Save a traced graph for everybody who shares the cache, unless another job was first."""
    made = file.parent.with_name(f".{uuid4().hex}.partial")
    made.mkdir(parents=True)
    _save(traced, made / file.name)
    try:
        made.rename(file.parent)
    except OSError:
        shutil.rmtree(made)


def _structure(network: Any) -> str:
    """Return a name for everything that a kept graph has in it: all but the weights."""
    digest = hashlib.sha256()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        if tensor.ndim != 2:
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return fingerprint(
        [
            [sha256(file) for file in (__file__, openvino_trace.__file__)],
            [version(package) for package in ("openvino", "torch", "transformers")],
            network.config.to_json_string(use_diff=False),
            digest.hexdigest(),
        ]
    )


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

"""Put a model's weights into its traced graph, as they are or int8-quantised."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

GROUP = 32  # numbers that share a scale when quantised
_FEWEST = 1024  # smaller matrices are not quantised


def put_in(model: Any, weights: Mapping[str, Tensor], precision: str) -> None:
    """Put a model's weights where the graph has inputs of their names.

    Args:
        model: The graph.
        weights: Two-dimensional, by name.
        precision: `"int8"` quantises those that are factors of a product; else they stay as they
            are.
    """
    from openvino import opset14 as ops

    for place in model.get_parameters():
        if place.get_friendly_name() not in weights:
            continue
        matrix = weights[place.get_friendly_name()].detach().cpu().float().numpy()
        exact = quantised = None
        for reader in place.output(0).get_target_inputs():
            if precision == "int8" and matrix.size >= _FEWEST and _is_factor(reader):
                quantised = quantised or _dequantised(matrix)
                reader.replace_source_output(quantised)
            else:
                # Not copied: it is the model's own memory, or laid out anew for OpenVINO.
                exact = exact or ops.constant(np.ascontiguousarray(matrix), shared_memory=True)
                reader.replace_source_output(exact.output(0))
        model.remove_parameter(place)
    model.validate_nodes_and_infer_types()


def _is_factor(reader: Any) -> bool:
    """Tell if this input is the transposed matrix of a product."""
    node = reader.get_node()
    return bool(
        node.get_type_name() == "MatMul"
        and reader.get_index() == 1
        and node.get_attributes()["transpose_b"]
    )


def _dequantised(matrix: NDArray[Any]) -> Any:
    """Return an int8-quantised matrix times its scales, as nodes of a graph."""
    from openvino import opset14 as ops

    integers, scales = quantise(matrix)
    product = ops.multiply(ops.convert(ops.constant(integers), "f32"), ops.constant(scales))
    return ops.reshape(product, ops.constant(np.array(matrix.shape)), False).output(0)


def quantise(matrix: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a matrix symmetrically, with a scale per group of 32 numbers of a row.

    Where 32 does not divide a row, the row is one group.

    Args:
        matrix: Weights [rows, columns].

    Returns:
        Integers from -127 to 127 [rows, groups, 32] and the scales to multiply by
        [rows, groups, 1].
    """
    rows, columns = matrix.shape
    group = columns if columns % GROUP else GROUP
    grouped = matrix.astype(np.float32, copy=False).reshape(rows, -1, group)
    integers = np.empty(grouped.shape, dtype=np.int8)
    scales = np.empty((*grouped.shape[:2], 1), dtype=np.float32)
    for start in range(0, rows, 1024):  # a copy of a whole head would be the peak of memory
        part = slice(start, start + 1024)
        scales[part] = np.abs(grouped[part]).max(-1, keepdims=True) / 127
        scales[part][scales[part] == 0] = 1  # all zeros: any scale will do
        integers[part] = np.rint(grouped[part] / scales[part])
    return integers, scales

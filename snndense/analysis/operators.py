"""Which operators multiply and accumulate, and what a spike costs in each of them.

A :class:`Product` describes one call of a convolution or matrix product by its shapes;
all other operators that the counter knows are sorted here too.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snndense.models.layers.counting import (
    count_adaptive_pool_ops,
    count_conv_ops,
    count_pool_ops,
)

aten = torch.ops.aten


class Operand(NamedTuple):
    """An operand of a product.

    Attributes:
        tensor (Tensor): The operand.
        replay (Callable): Additions that spike counts in its place cause, all other
            operands being 1: of a convolution as a whole, of every product of two
            matrices.
    """

    tensor: Tensor
    replay: Callable[[Tensor], Tensor]


class Product(NamedTuple):
    """One call of an operator that multiplies and accumulates.

    Attributes:
        operator (str): ``'conv'`` or ``'matmul'``.
        macs (int): Multiply-accumulates of dense operands.
        operands (tuple[Operand]): One (convolution) or both (matrix product).
        weight (Tensor, optional): Of a convolution.
        bias_bytes (int): Bytes of the bias read, one element per output.
    """

    operator: str
    macs: int
    operands: tuple[Operand, ...]
    weight: Tensor | None = None
    bias_bytes: int = 0


def total(counts: Tensor) -> int:
    """Sum of integers held in a float tensor, exact."""
    return round(counts.sum(dtype=torch.float64).item())


def totals(counts: Tensor) -> Tensor:
    """The same of every matrix, ``(..., p, q) -> (B,)``."""
    return counts.sum((-2, -1), dtype=torch.float64).reshape(-1)


def _convolution(args: tuple, out: Tensor) -> Product:
    x, weight, bias, stride, padding, dilation, transposed, out_padding, groups = args
    positions = x if transposed else out
    settings = dict(
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        transposed=transposed,
        output_padding=out_padding,
    )

    def replay(counts: Tensor) -> Tensor:
        sops = count_conv_ops(counts, tuple(weight.shape), **settings)
        return torch.tensor([sops], dtype=torch.float64)

    macs = positions.numel() * prod(weight.shape[1:])
    bias_bytes = 0 if bias is None else out.numel() * bias.element_size()
    return Product('conv', macs, (Operand(x, replay),), weight, bias_bytes)


def _matmul(x: Tensor, y: Tensor, bias: Tensor | None = None) -> Product:
    rows, columns = x.shape[-2], y.shape[-1]
    operands = (
        Operand(x, lambda counts: totals(counts) * columns),
        Operand(y, lambda counts: totals(counts) * rows),
    )
    elements = x.numel() // x.shape[-1] * columns if x.numel() else 0
    bias_bytes = 0 if bias is None else elements * bias.element_size()
    return Product('matmul', x.numel() * columns, operands, None, bias_bytes)


PRODUCTS: dict[Any, Callable[[tuple, Tensor], Product]] = {
    aten.convolution.default: _convolution,
    aten._convolution.default: lambda args, out: _convolution(args[:9], out),
    aten.mm.default: lambda args, out: _matmul(*args[:2]),
    aten.bmm.default: lambda args, out: _matmul(*args[:2]),
    aten.addmm.default: lambda args, out: _matmul(*args[1:3], args[0]),
    aten.baddbmm.default: lambda args, out: _matmul(*args[1:3], args[0]),
    aten.mv.default: lambda args, out: _matmul(args[0], args[1][:, None]),
    aten.addmv.default: lambda args, out: _matmul(args[1], args[2][:, None], args[0]),
}


def coincidences(a: Tensor, b: Tensor) -> int:
    """Pairs of spikes that meet in ``a @ b``: the sum of the result."""
    return round((a.sum(-2, dtype=torch.float64) * b.sum(-1)).sum().item())


def attention_macs(args: tuple) -> int:
    """Both products of a fused softmax attention, ``(B, h, N, d)`` operands."""
    q, k, v = args[:3]
    pairs = prod(q.shape[:-1]) * k.shape[-2]
    return pairs * (q.shape[-1] + v.shape[-1])


def pool_ops(packet: Any, args: tuple, counts: Tensor) -> int:
    """Additions of an average pooling of spikes: those of every window."""
    if packet in ADAPTIVE_POOLS:
        return count_adaptive_pool_ops(counts, args[1])
    names = ('kernel_size', 'stride', 'padding', 'ceil_mode')
    window = dict(zip(names, args[1:5], strict=False))
    return count_pool_ops(counts, axes=3 if packet is aten.avg_pool3d else 2, **window)


def _packets(*names: str) -> set:
    found = (getattr(aten, name, None) for name in names)
    return {packet for packet in found if packet is not None}


FUSED_ATTENTION = _packets(
    '_scaled_dot_product_flash_attention_for_cpu',
    '_scaled_dot_product_flash_attention',
    '_scaled_dot_product_efficient_attention',
    '_scaled_dot_product_cudnn_attention',
    '_scaled_dot_product_attention_math',
)
BATCH_NORMS = _packets(
    'native_batch_norm',
    '_native_batch_norm_legit',
    '_native_batch_norm_legit_no_training',
    'cudnn_batch_norm',
    'miopen_batch_norm',
    '_batch_norm_with_update',
)
OTHER_NORMS = _packets('native_layer_norm', 'native_group_norm', '_fused_rms_norm')
# multiply-accumulates per element of the output
RESIZES = {
    **dict.fromkeys(_packets('upsample_linear1d'), 2),
    **dict.fromkeys(_packets('upsample_bilinear2d', '_upsample_bilinear2d_aa'), 4),
    **dict.fromkeys(_packets('grid_sampler_2d', 'cudnn_grid_sampler'), 4),
    **dict.fromkeys(_packets('upsample_bicubic2d', '_upsample_bicubic2d_aa'), 16),
}
MAX_POOLS = _packets(
    'max_pool2d_with_indices', 'max_pool2d', 'max_pool3d_with_indices'
) | _packets('adaptive_max_pool2d')
ADAPTIVE_POOLS = _packets('_adaptive_avg_pool2d', '_adaptive_avg_pool3d')
AVERAGE_POOLS = _packets('avg_pool2d', 'avg_pool3d') | ADAPTIVE_POOLS
JOINS = _packets('cat', 'stack')
CHOICES = _packets('index', 'index_select', 'repeat_interleave')
SUMS = _packets('sum', 'mean')
MULTIPLIES = _packets('mul', 'mul_', 'addcmul', 'addcmul_')
SCALINGS = _packets('mul', 'mul_', 'div', 'div_')
ADDITIONS = _packets('add', 'add_', 'sub', 'sub_', 'rsub', 'lerp')
# values pass unchanged, so that spikes stay spikes
COPIES = _packets(
    *('clone', '_to_copy', 'copy_', 'contiguous', '_unsafe_view', 'lift_fresh'),
    *('constant_pad_nd', 'reflection_pad2d', 'replication_pad2d'),
    *('repeat', 'cat', 'stack', 'index', 'index_select', 'gather', 'roll', 'flip'),
    *('upsample_nearest1d', 'upsample_nearest2d', '_upsample_nearest_exact2d'),
    *('native_dropout', 'pixel_shuffle', 'pixel_unshuffle', 'channel_shuffle'),
    *('im2col', 'where', '_reshape_copy', 'repeat_interleave'),
)
# filled with a constant, or about to be filled, in the shape of another tensor
FILLED = _packets(
    *('zeros_like', 'ones_like', 'full_like', 'empty_like'),
    *('new_zeros', 'new_ones', 'new_full', 'new_empty'),
)
# no arithmetic on activations: making, filling, choosing and ordering tensors,
# statistics, and nonlinearities without the tag ``pointwise``
FREE = _packets(
    *('empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided'),
    *('zeros', 'zeros_like', 'new_zeros', 'ones', 'ones_like', 'new_ones'),
    *('full', 'full_like', 'new_full', 'fill', 'fill_', 'zero_', 'arange', 'linspace'),
    *('eye', 'scalar_tensor', 'tril', 'triu', 'meshgrid', 'promote_types'),
    *('rand', 'randn', 'rand_like', 'randn_like', 'randint', 'randperm'),
    *('bernoulli', 'bernoulli_', 'uniform_', 'normal_'),
    *('amax', 'amin', 'max', 'min', 'argmax', 'argmin', 'any', 'all', 'topk', 'sort'),
    *('nonzero', 'count_nonzero', 'unique_dim', '_unique2', 'unique_consecutive'),
    *('masked_select', 'masked_fill', 'masked_fill_', 'masked_scatter', 'isin'),
    *('index_put', 'index_put_', '_index_put_impl_', 'index_fill', 'index_fill_'),
    *('index_add', 'scatter', 'scatter_', 'scatter_add', 'scatter_add_', 'bincount'),
    *('searchsorted', 'bucketize', 'one_hot', 'embedding', 'cumsum', 'cumprod'),
    *('_softmax', '_log_softmax', 'logsumexp', 'prod', 'var', 'std', 'var_mean'),
    *('_local_scalar_dense', 'item', 'is_nonzero', 'equal', 'resize_', 'set_'),
    *('sym_size', 'sym_stride', 'sym_numel', 'sym_storage_offset', 'is_same_size'),
    *('record_stream', '_assert_async', '_pin_memory', 'is_pinned', 'norm'),
    *('linalg_vector_norm', 'split_with_sizes_copy'),
)


def sums_samples(args: tuple) -> bool:
    """Whether a sum or mean, given by its arguments, runs over the first axis too."""
    x, dims = args[0], args[1] if len(args) > 1 else None
    return not dims or any(dim % x.dim() == 0 for dim in dims)


def joined_samples(packet: Any, args: tuple) -> list[Tensor]:
    """The tensors that are joined along the first axis; none if none are."""
    if packet not in JOINS or (len(args) > 1 and args[1] != 0):
        return []
    return list(args[0])


def repetitions(packet: Any, args: tuple, out: Any) -> int:
    """How often an operator repeats its operand along the axes of time and samples."""
    if packet is aten.repeat:
        return prod(args[1][: max(len(args[1]) - 3, 1)])
    x = first_tensor(args)
    if packet in CHOICES and x is not None and out.shape[1:] == x.shape[1:]:
        return max(out.shape[0] // max(x.shape[0], 1), 1)
    joined = joined_samples(packet, args)
    places = {(y.untyped_storage()._cdata, y.storage_offset()) for y in joined}
    return len(joined) if len(places) == 1 else 1


def is_free(func: Any) -> bool:
    """Whether an operator is known to cost nothing in our count."""
    return (
        func.is_view
        or torch.Tag.pointwise in func.tags
        or func.overloadpacket in FREE
        or func.namespace in ('prim', 'prims')
    )


def first_tensor(args: tuple) -> Tensor | None:
    """The first tensor among arguments, looking into a leading list."""
    for arg in args:
        if isinstance(arg, Tensor):
            return arg
        if isinstance(arg, (list, tuple)) and arg and isinstance(arg[0], Tensor):
            return arg[0]
    return None

"""Dual spike self-attention (DSSA) of SpikingResformer in bounded memory.

Source: https://arxiv.org/abs/2403.14302. A neuron sits between the two products
of this attention, so they cannot be re-associated and the map between them has to
exist. But that neuron is elementwise, so a row of the map (one query token) is
independent of all others: the map is computed, fired and consumed in blocks of
rows, in the forward and again in the backward pass, with equal results. Where nothing
learns, on a CPU, the charge of the neuron is left to the first product.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from ..layers import (
    BinaryNeuron,
    FiringRate,
    SpikeConv,
    SpikingNeuron,
    build_neuron,
    build_norm,
    fold_time,
    hold,
    spikes_in_bytes,
    unfold_time,
)

#: Bytes of the attention map that exist at a time. On a CPU a block and its
#: temporaries should stay in cache; other devices want large products.
BLOCK_BYTES = {'cpu': 2**22}
DEFAULT_BLOCK_BYTES = 2**28
#: Fewer rows would make slow matrix products.
MIN_ROWS = 16


def map_blocks(q: Tensor, k: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut the attention map ``(T, G, N, Np)`` into blocks: slices of G and of N.

    Args:
        q (Tensor): Queries, ``(T, G, d, N)``.
        k (Tensor): Keys, ``(T, G, d, Np)``.
    """
    num_groups, num_queries = q.shape[1], q.shape[3]
    row_bytes = k.shape[0] * k.shape[3] * q.element_size()
    block_bytes = BLOCK_BYTES.get(q.device.type, DEFAULT_BLOCK_BYTES)
    rows = max(block_bytes // row_bytes, MIN_ROWS)
    groups = max(rows // num_queries, 1)
    for group in range(0, num_groups, groups):
        for row in range(0, num_queries, rows):
            yield slice(group, group + groups), slice(row, row + rows)


def _fire(neuron: SpikingNeuron, currents: Tensor) -> Tensor:
    return neuron(fold_time(currents)).view_as(currents)


class _BlockedAttention(torch.autograd.Function):
    """:func:`blocked_attention`; the backward pass computes every block again."""

    @staticmethod
    def forward(
        ctx,
        neuron: SpikingNeuron,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(q)
        num_spikes = q.new_zeros(
            q.shape[1], dtype=torch.promote_types(q.dtype, torch.float32)
        )
        for groups, rows in map_blocks(q, k):
            currents = q[:, groups, :, rows].mT @ k[:, groups]  # (T, g, rows, Np)
            spikes = _fire(neuron, currents)
            num_spikes[groups] += spikes.sum((0, 2, 3), dtype=num_spikes.dtype)
            out[:, groups, :, rows] = (spikes @ v[:, groups].mT).mT
        ctx.neuron = neuron
        ctx.save_for_backward(q, k, v, *parameters)
        ctx.mark_non_differentiable(num_spikes)
        return out, num_spikes

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out: Tensor, _: Tensor) -> tuple:
        q, k, v, *parameters = ctx.saved_tensors
        grad_q, grad_k, grad_v = (torch.zeros_like(x) for x in (q, k, v))
        grad_parameters = [torch.zeros_like(p) for p in parameters]
        for groups, rows in map_blocks(q, k):
            q_block, grad_block = q[:, groups, :, rows], grad_out[:, groups, :, rows]
            currents = (q_block.mT @ k[:, groups]).requires_grad_()
            with torch.enable_grad():
                spikes = _fire(ctx.neuron, currents)
            grad_v[:, groups] += grad_block @ spikes.detach()
            grad_currents, *grads = torch.autograd.grad(
                spikes, (currents, *parameters), grad_block.mT @ v[:, groups]
            )
            grad_k[:, groups] += q_block @ grad_currents
            grad_q[:, groups, :, rows] = k[:, groups] @ grad_currents.mT
            for total, grad in zip(grad_parameters, grads, strict=True):
                total += grad
        return None, grad_q, grad_k, grad_v, *grad_parameters


def stepwise_attention(q: Tensor, k: Tensor, v: Tensor, neuron: BinaryNeuron) -> Tensor:
    """:func:`blocked_attention` without gradients, one step of a block at a time.

    ``h[t] = a v[t-1] + b q^T k`` is one call of ``baddbmm``: the currents are never
    written, and a block holds one step instead of T.
    """
    keep, gain = neuron.charge_weights()
    out, v_rows, memory = torch.empty_like(q), v.mT.contiguous(), None
    for groups, rows in map_blocks(q[:1], k[:1]):
        shape = (*q[0, groups, 0, rows].shape, k.shape[3])
        if memory is None:  # the first block is the largest
            memory = q.new_empty(2, math.prod(shape))
        h, spikes = (x[: math.prod(shape)].view(shape) for x in memory)
        for t in range(len(q)):
            q_rows = q[t, groups, :, rows].mT
            torch.baddbmm(
                h, q_rows, k[t, groups], beta=keep if t else 0, alpha=gain, out=h
            )
            torch.ge(h, neuron.v_threshold, out=spikes)
            out[t, groups, :, rows] = (spikes @ v_rows[t, groups]).mT
            h.addcmul_(spikes, h, value=-1)  # 0 after a spike
    return out


def _is_stepwise(neuron: SpikingNeuron, *operands: Tensor) -> bool:
    """Whether nothing learns, nobody looks at the neuron, and it allows for it."""
    # first: the weights of a learned charge are numbers, which no graph has
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    learns = torch.is_grad_enabled() and any(
        x.requires_grad for x in (*operands, *neuron.parameters())
    )
    return (
        isinstance(neuron, BinaryNeuron)
        and not (neuron.training or learns)
        and not (neuron._forward_hooks or neuron._forward_pre_hooks)
        and neuron.virtual_steps == 1
        and all(x.device.type == 'cpu' for x in operands)
        and neuron.membrane_dtype(operands[0]) == operands[0].dtype
        and neuron.charge_weights() is not None
    )


def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, neuron: SpikingNeuron
) -> tuple[Tensor, Tensor | None]:
    """``neuron(q^T k) v`` with the map between the products in blocks only.

    Args:
        q (Tensor): Queries, ``(T, G, d, N)``, channels before tokens.
        k (Tensor): Keys, ``(T, G, d, Np)``.
        v (Tensor): Values, ``(T, G, d, Np)``.
        neuron (SpikingNeuron): Neuron on the map, of T steps.

    Returns:
        tuple[Tensor, Tensor | None]: Result ``(T, G, d, N)``, and in training the
        number of spikes of every group, ``(G,)``.
    """
    # both passes then compute alike, whatever autocast does around them
    if torch.is_autocast_enabled(q.device.type):
        dtype = torch.get_autocast_dtype(q.device.type)
    else:
        dtype = torch.promote_types(q.dtype, k.dtype)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if _is_stepwise(neuron, q, k, v):
        return stepwise_attention(q, k, v, neuron), None
    parameters = [p for p in neuron.parameters() if p.requires_grad]
    return _BlockedAttention.apply(neuron, q, k, v, *parameters)


class DSSA(nn.Module):
    """Dual spike self-attention: tokens attend to patches of the same spike map.

    ``SN(scale2 * SN(scale1 * q^T k) v)`` with binary queries (the spikes
    themselves) and real keys and values (a convolution of the spikes over patches).
    The scales hold the variance of both sums at 1, by the running firing rates of
    the queries and of the map.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads.
        patch_size (int): Kernel and stride p of the convolution for keys, values.
        num_tokens (int, optional): Number of patches that the second scale reckons
            with. None: that of the input at hand.
        pad_patches (bool): Whether rows and columns that do not fill a patch are
            padded with silence (queries never are) instead of left out.
        published_rates (bool): See :class:`~snndense.models.layers.FiringRate`.
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    virtual_steps = 1

    def __init__(
        self,
        dim: int,
        num_heads: int,
        patch_size: int,
        *,
        num_tokens: int | None,
        pad_patches: bool,
        published_rates: bool,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.patch_size = patch_size
        self.num_tokens = num_tokens
        self.pad_patches = pad_patches
        self.time_steps = time_steps
        self.neuron = build_neuron(neuron_cfg, time_steps)
        self.patch_conv = nn.Conv2d(dim, 2 * dim, patch_size, patch_size, bias=False)
        self.norm = build_norm(norm_cfg, 2 * dim)
        self.query_rate = FiringRate(num_heads, published=published_rates)
        self.attn_neuron = build_neuron(neuron_cfg, time_steps)
        self.attn_rate = FiringRate(num_heads, published=published_rates)
        self.proj = SpikeConv(
            dim,
            dim,
            1,
            neuron_cfg=neuron_cfg,
            norm_cfg=norm_cfg,
            time_steps=time_steps,
        )

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        keys_values = self.norm(self._embed_patches(spikes))
        q = self._split_heads(spikes)  # (T, N*h, d, H*W)
        k, v = self._split_heads(keys_values).chunk(2, 2)  # (T, N*h, d, Np)
        places, num_patches = q.numel() // self.num_heads, k.shape[3]
        if self.training:
            dtype = torch.promote_types(q.dtype, torch.float32)
            self._update(self.query_rate, q.sum((0, 2, 3), dtype=dtype), places)
        k = self._scale(k, self.query_rate, self.head_dim)
        y, num_spikes = self.attend(q, k, v)
        if self.training:
            places = places // self.head_dim * num_patches
            self._update(self.attn_rate, num_spikes, places)
        # upstream: the token count is that of the training size, whatever the input
        y = self._scale(y, self.attn_rate, self.num_tokens or num_patches)
        return self.proj(y.reshape(x.shape))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """``attn_neuron(q^T k) v``, and in training the spikes of every group."""
        k, v = hold(k, self.virtual_steps), hold(v, self.virtual_steps)
        with spikes_in_bytes(q, self.neuron):
            return blocked_attention(q, k, v, self.attn_neuron)

    def _embed_patches(self, spikes: Tensor) -> Tensor:
        height, width = spikes.shape[2:]
        border = (0, -width % self.patch_size, 0, -height % self.patch_size)
        # upstream: pixels beyond the last whole patch are left out
        if self.pad_patches and any(border):
            spikes = pad(spikes, border)
        with spikes_in_bytes(spikes, self.neuron):
            return self.patch_conv(spikes)

    def _split_heads(self, x: Tensor) -> Tensor:
        x = unfold_time(x, self.time_steps)  # (T, N, h*d, H, W)
        return x.flatten(3).unflatten(2, (self.num_heads, -1)).flatten(1, 2)

    def _update(self, rate: FiringRate, num_spikes: Tensor, places: int) -> None:
        rate.update(num_spikes.view(-1, self.num_heads).sum(0), places)

    def _scale(self, x: Tensor, rate: FiringRate, fan_in: int) -> Tensor:
        scale = rate.scale(fan_in).to(x.dtype)
        return x * scale.repeat(x.shape[1] // self.num_heads).view(1, -1, 1, 1)

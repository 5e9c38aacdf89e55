"""Spatial and channel mixers of the Meta-SDT family.

Sources: SDT-V2 (https://arxiv.org/abs/2404.03663), SDT-V3
(https://arxiv.org/abs/2411.16061), MLPixer and SRB
(https://arxiv.org/abs/2510.21403). Every module maps a real-valued membrane
``(T*N, C, H, W)`` to an update of the same shape; the caller adds it.
"""

from torch import Tensor, nn

from ..layers import SpikeConv, build_neuron, build_norm


def raw_reshape(x: Tensor, *shape: int) -> Tensor:
    """Reinterpret the row-major (C, H, W) buffer of every sample, moving nothing.

    Element ``f = c*H*W + y*W + x`` of the source becomes element ``f`` of the
    target, so ``raw_reshape(x, H * W, C)`` cuts each image into strips of C
    raster-order pixels of (mostly) one channel: a Linear layer on them mixes
    space inside a channel, not the channels of a pixel. The logical NCHW order
    counts whatever the memory format, so channels-last input gives the same
    values. Strips depend on H and W.

    Args:
        x (Tensor): ``(B, ...)``.
        *shape (int): Target shape without the batch axis.

    Returns:
        Tensor: ``(B, *shape)``, a view where the storage allows one.
    """
    return x.reshape(x.shape[0], *shape)


class SpikeSepConv(nn.Module):
    """Separable convolution of SDT-V3: three neurons, three norms.

    Args:
        dim (int): Channels C; the hidden width is 2C.
        kernel_size (int): Depthwise kernel, 7 in early stages, 3 beside attention.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(self, dim: int, kernel_size: int, **unit_cfg) -> None:
        super().__init__()
        hidden = 2 * dim
        self.pwconv1 = SpikeConv(dim, hidden, 1, **unit_cfg)
        self.dwconv = SpikeConv(hidden, hidden, kernel_size, groups=hidden, **unit_cfg)
        self.pwconv2 = SpikeConv(hidden, dim, 1, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.pwconv2(self.dwconv(self.pwconv1(x)))


class SepConv(nn.Module):
    """Separable convolution of SDT-V2: depthwise and second pointwise adjoin.

    Args:
        dim (int): Channels C; the hidden width is 2C.
        kernel_size (int): Depthwise kernel (7).
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        *,
        neuron_cfg: dict,
        norm_cfg: dict,
        time_steps: int,
    ) -> None:
        super().__init__()
        hidden = 2 * dim
        unit_cfg = dict(neuron_cfg=neuron_cfg, norm_cfg=norm_cfg, time_steps=time_steps)
        self.pwconv1 = SpikeConv(dim, hidden, 1, **unit_cfg)
        self.neuron = build_neuron(neuron_cfg, time_steps)
        self.dwconv = nn.Conv2d(
            hidden,
            hidden,
            kernel_size,
            padding=kernel_size // 2,
            groups=hidden,
            bias=False,
        )
        self.pwconv2 = nn.Conv2d(hidden, dim, 1, bias=False)
        self.norm = build_norm(norm_cfg, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.neuron(self.pwconv1(x))
        return self.norm(self.pwconv2(self.dwconv(x)))


class ConvMixer(nn.Module):
    """Channel mixer of SDT-V2 and SDT-V3: two 3x3 convolutions.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width over C.
        **unit_cfg: ``neuron_cfg``, ``norm_cfg`` and ``time_steps``; ``bias=True`` gives
            the convolutions biases (SDT-V3 large).

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``.
    """

    def __init__(self, dim: int, mlp_ratio: int, **unit_cfg) -> None:
        super().__init__()
        self.conv1 = SpikeConv(dim, mlp_ratio * dim, 3, **unit_cfg)
        self.conv2 = SpikeConv(mlp_ratio * dim, dim, 3, **unit_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class MLPixer(nn.Module):
    """Two Linear layers on strips of C raster-order pixels; no norm at all.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width R over C.
        neuron_cfg (dict): Neuron.
        drop_rate (float): Dropout after each Linear layer.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``, see :func:`raw_reshape`.
    """

    def __init__(
        self,
        dim: int,
        mlp_ratio: int,
        *,
        neuron_cfg: dict,
        drop_rate: float,
        time_steps: int,
    ) -> None:
        super().__init__()
        self.neuron1 = build_neuron(neuron_cfg, time_steps)
        self.fc1 = nn.Linear(dim, mlp_ratio * dim, bias=False)
        self.neuron2 = build_neuron(neuron_cfg, time_steps)
        self.fc2 = nn.Linear(mlp_ratio * dim, dim, bias=False)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        strips = raw_reshape(self.neuron1(x), height * width, channels)
        # upstream: reshaped to (R*C, H, W) for the neuron and back; the neuron is
        # elementwise, so the hidden layout is irrelevant
        strips = self.neuron2(self.drop(self.fc1(strips)))  # (T*N, H*W, R*C)
        strips = self.drop(self.fc2(strips))  # (T*N, H*W, C)
        return raw_reshape(strips, channels, height, width)


class SRB(nn.Module):
    """Splash-and-reconstruct block: Linear on strips, then a 3x3 convolution.

    The Linear layer expands every strip of C raster-order pixels to R*C values,
    which fill the hidden map ``(R*C, H, W)`` in raster order; the convolution
    mixes its channels.

    Args:
        dim (int): Channels C.
        mlp_ratio (int): Hidden width R over C.
        neuron_cfg (dict): Neuron.
        norm_cfg (dict): Batch norm.
        drop_rate (float): Dropout after the Linear layer.
        time_steps (int): T.

    Shape: ``(T*N, C, H, W) -> (T*N, C, H, W)``, see :func:`raw_reshape`.
    """

    def __init__(
        self,
        dim: int,
        mlp_ratio: int,
        *,
        neuron_cfg: dict,
        norm_cfg: dict,
        drop_rate: float,
        time_steps: int,
    ) -> None:
        super().__init__()
        hidden = mlp_ratio * dim
        self.neuron = build_neuron(neuron_cfg, time_steps)
        self.fc1 = nn.Linear(dim, hidden, bias=False)
        self.drop = nn.Dropout(drop_rate)
        self.conv2 = SpikeConv(
            hidden,
            dim,
            3,
            neuron_cfg=neuron_cfg,
            norm_cfg=norm_cfg,
            time_steps=time_steps,
        )

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        strips = raw_reshape(self.neuron(x), height * width, channels)
        strips = self.drop(self.fc1(strips))  # (T*N, H*W, R*C)
        hidden = raw_reshape(strips, strips.shape[-1], height, width)
        return self.conv2(hidden)

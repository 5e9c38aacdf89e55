"""Normalisation, and the neuron -> convolution -> norm unit of every backbone."""

from torch import Tensor, nn

from .neurons import build_neuron
from .spike_storage import spikes_in_bytes

NORMS = {
    'BN': nn.BatchNorm2d,
    'BN2d': nn.BatchNorm2d,
    'SyncBN': nn.SyncBatchNorm,
}


def build_norm(norm_cfg: dict, num_features: int) -> nn.Module:
    """Build a batch norm over ``(T*N, C, H, W)`` from OpenMMLab's ``norm_cfg``.

    Only batch norms are offered: they fold into the convolution in front of them,
    which keeps the convolution a sum over spikes at inference.

    Args:
        norm_cfg (dict): ``dict(type='BN' | 'SyncBN', requires_grad=True, ...)``.
        num_features (int): Number of channels C.

    Raises:
        ValueError: If the type is no batch norm.
    """
    cfg = dict(norm_cfg)
    norm_type = cfg.pop('type', None)
    requires_grad = cfg.pop('requires_grad', True)
    if norm_type not in NORMS:
        raise ValueError(
            f'expected norm_cfg type to be one of {tuple(NORMS)} (batch norms fold '
            f'into the convolution before them), but got {norm_type!r}'
        )
    norm = NORMS[norm_type](num_features, **cfg)
    for parameter in norm.parameters():
        parameter.requires_grad = requires_grad
    return norm


class SpikeConv(nn.Module):
    """Neuron, convolution, batch norm: the unit between two membranes.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        kernel_size (int): Kernel size. Padded by ``kernel_size // 2``.
        stride (int): Stride. Defaults to 1.
        groups (int): Groups. Defaults to 1.
        bias (bool): Whether the convolution has a bias before the norm.
            Defaults to False.
        neuron_cfg (dict, optional): The neuron in front; None for a layer that
            reads real values (the image) or spikes that were fired already.
        norm_cfg (dict): Defaults to ``dict(type='BN')``.
        time_steps (int): T of the neuron. Defaults to 1.

    Shape: ``(T*N, C_in, H, W) -> (T*N, C_out, ceil(H / stride), ceil(W / stride))``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        neuron_cfg: dict | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        time_steps: int = 1,
    ) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron_cfg, time_steps) if neuron_cfg else None
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            groups=groups,
            bias=bias,
        )
        self.norm = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x) if self.neuron is None else self._fire_conv(x))

    def _fire_conv(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        with spikes_in_bytes(spikes, self.neuron):
            return self.conv(spikes)

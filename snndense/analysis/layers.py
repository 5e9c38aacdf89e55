"""Layers of a model by name, and their outputs with time and space apart."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Optional

from torch import Tensor, nn

Layers = str | nn.Module | Sequence[str | nn.Module]


@dataclass(frozen=True)
class TokenLayout:
    """How a layer that works on tokens arranges them.

    Args:
        grid (tuple[int, int], optional): Rows and columns. None: a square, if the
            number of tokens is one.
        channels_last (bool): ``(..., L, C)`` if True, else ``(..., C, L)``.
            Defaults to True.
        class_tokens (int): Tokens in front that stand for no place.
            Defaults to 0.
    """

    grid: Optional[tuple[int, int]] = None
    channels_last: bool = True
    class_tokens: int = 0

    def to_map(self, tokens: Tensor) -> Tensor:
        """Tokens on their grid: ``(B, L, C)`` or ``(B, C, L) -> (B, C, h, w)``.

        Raises:
            ValueError: If the number of tokens does not fit the grid.
        """
        tokens = tokens.mT if self.channels_last else tokens
        tokens = tokens[..., self.class_tokens :]  # (B, C, L)
        count = tokens.shape[-1]
        side = math.isqrt(count)
        grid = self.grid or (side, side)
        if math.prod(grid) != count:
            raise ValueError(
                f'{count} tokens fill no grid of {grid}; give TokenLayout(grid=(h, w), '
                'channels_last=..., class_tokens=...) as the layer has them'
            )
        return tokens.unflatten(-1, tuple(grid))


def select_layers(model: nn.Module, layers: Layers) -> dict[str, nn.Module]:
    """Find layers by name, by pattern or as modules.

    Args:
        model (nn.Module): The model.
        layers (str | nn.Module | sequence of these): Dotted names, patterns of them
            (``*`` stands for dots too: ``'stages.3.*.attn.proj_conv'``), or modules
            of the model.

    Returns:
        dict[str, nn.Module]: Modules by name, each once: in the order given, those
        of a pattern in the order of the model.

    Raises:
        TypeError: If an entry is neither a name nor a module.
        ValueError: If nothing fits an entry.
    """
    if isinstance(layers, str | nn.Module):
        layers = (layers,)
    modules = dict(model.named_modules())
    selected = {}
    for layer in layers:
        if isinstance(layer, nn.Module):
            found = [name for name, module in modules.items() if module is layer]
            wanted = f'a {type(layer).__name__}'
        elif isinstance(layer, str):
            found = [name for name in modules if name == layer]
            found = found or [name for name in modules if fnmatchcase(name, layer)]
            wanted = repr(layer)
        else:
            raise TypeError(f'expected a name or a module as layer, but got {layer!r}')
        if not found:
            raise ValueError(
                f'{type(model).__name__} has no layer {wanted}{_suggest(layer, model)}'
            )
        selected.update((name, modules[name]) for name in found)
    if not selected:
        raise ValueError('expected at least one layer, but got none')
    return selected


def _suggest(layer: str | nn.Module, model: nn.Module) -> str:
    children = ', '.join(name for name, _ in model.named_children())
    if isinstance(layer, nn.Module):
        return f'; its parts are {children}'
    names = [name for name, _ in model.named_modules() if name]
    close = difflib.get_close_matches(layer, names)
    return f'; did you mean {", ".join(close)}?' if close else f', but {children}'


def pick_tensor(value: object, key: Optional[int | str]) -> Tensor:
    """The tensor itself, or one of a tuple, list or dict of tensors.

    Args:
        value (object): What a layer gets or gives.
        key (int | str, optional): Index or key. None: the first of a tuple or list.

    Raises:
        ValueError: If there is no such tensor.
    """
    found = value
    try:
        if isinstance(value, Mapping):
            found = value[key]
        elif isinstance(value, tuple | list):
            found = value[0 if key is None else key]
    except (KeyError, IndexError, TypeError):
        found = None
    if not isinstance(found, Tensor):
        keys = f' with the keys {tuple(value)}' if isinstance(value, Mapping) else ''
        raise ValueError(
            f'expected a tensor, but the layer has a {type(value).__name__}{keys}, '
            f'and {key!r} names no tensor in it; set signal to an index or a key'
        )
    return found


def unfold_map(
    x: Tensor, time_steps: int, batch_size: int, tokens: Optional[TokenLayout] = None
) -> Tensor:
    """Output of a layer with time, sample, channel and place apart.

    Args:
        x (Tensor): ``(T, N, C, h, w)``; ``(T*N, C, h, w)``, time the slower index;
            ``(N, C, h, w)`` of a layer that is the same at all steps; or, with
            ``tokens``, ``(T*N, ...)`` or ``(T, N, ...)`` tokens.
        time_steps (int): T.
        batch_size (int): N.
        tokens (TokenLayout, optional): For layers that work on tokens.

    Returns:
        Tensor: ``(T, N, C, h, w)``, or ``(1, N, C, h, w)``.

    Raises:
        ValueError: If the shape is none of these.
    """
    shape = tuple(x.shape)
    if tokens is not None and x.dim() in (3, 4):
        x = tokens.to_map(x.flatten(0, -3))
    if x.dim() == 5 and shape[:2] == (time_steps, batch_size):
        return x
    if x.dim() == 4 and x.shape[0] == time_steps * batch_size:
        return x.unflatten(0, (time_steps, batch_size))
    if x.dim() == 4 and x.shape[0] == batch_size:
        return x[None]
    hint = (
        'for tokens give tokens=TokenLayout(...)'
        if x.dim() == 3
        else 'is time_steps right?'
    )
    raise ValueError(
        f'expected a map (T*N, C, h, w) or (N, C, h, w) with T={time_steps} and '
        f'N={batch_size}, but the layer has the shape {shape}; {hint}'
    )

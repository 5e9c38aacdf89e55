"""Layers of a model by name, and their outputs with time and space apart."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn

Layers = str | nn.Module | Sequence[str | nn.Module]


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


def pick_tensor(value: object, key: int | str | None) -> Tensor:
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


def unfold_map(x: Tensor, time_steps: int, batch_size: int) -> Tensor:
    """Output of a layer with time, sample, channel and place apart.

    Args:
        x (Tensor): ``(T, N, C, h, w)``; ``(T*N, C, h, w)``, time the slower index; or
            ``(N, C, h, w)`` of a layer that is the same at all steps.
        time_steps (int): T.
        batch_size (int): N.

    Returns:
        Tensor: ``(T, N, C, h, w)``, or ``(1, N, C, h, w)``.

    Raises:
        ValueError: If the shape is none of these.
    """
    shape = tuple(x.shape)
    if x.dim() == 5 and shape[:2] == (time_steps, batch_size):
        return x
    if x.dim() == 4 and x.shape[0] == time_steps * batch_size:
        return x.unflatten(0, (time_steps, batch_size))
    if x.dim() == 4 and x.shape[0] == batch_size:
        return x[None]
    message = (
        f'expected a map (T*N, C, h, w) or (N, C, h, w) with T={time_steps} and '
        f'N={batch_size}, but got the shape {shape}'
    )
    parts, rest = divmod(x.shape[0], time_steps * batch_size)
    if parts > 1 and not rest:
        message += (
            f'. Windows and other parts of images, {parts} of each here, have no place '
            'of their own in the image: choose a layer around them. Or is T another?'
        )
    raise ValueError(message)

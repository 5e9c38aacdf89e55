"""Renaming of published state-dict keys to ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor


class KeyMap:
    """Ordered rules from an upstream's key names to this package's.

    Args:
        rules (Sequence[tuple[str, str | callable]]): Pairs of a regular expression
            and its replacement, applied to every key one after the other
            (``re.sub``).
        unused (Sequence[str]): Regular expressions of keys which the published
            code stores but never reads; they are left out.
        parts (Mapping[str, KeyMap]): Maps of submodules by prefix, such as
            ``'backbone.'``. A key below the prefix is renamed by that map alone
            and keeps the prefix.
        num_axes (Sequence[tuple[str, int]]): Pairs of a regular expression and the
            number of axes that the values of our keys which it matches have: axes
            of size 1 are appended, or taken out.

    A kernel of a 1x1 ``Conv1d`` gains a trailing axis, since every 1x1 layer is a
    ``Conv2d`` here.
    """

    def __init__(
        self,
        rules: Sequence[tuple[str, str | Callable[[re.Match], str]]],
        unused: Sequence[str] = (),
        parts: Mapping[str, 'KeyMap'] = MappingProxyType({}),
        num_axes: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.rules = tuple((re.compile(pattern), to) for pattern, to in rules)
        self.unused = tuple(re.compile(pattern) for pattern in unused)
        self.parts = dict(parts)
        self.num_axes = tuple((re.compile(pattern), n) for pattern, n in num_axes)

    def rename(self, key: str) -> str | None:
        """Our name of an upstream key, or None if nothing reads it."""
        for prefix, part in self.parts.items():
            if key.startswith(prefix):
                name = part.rename(key[len(prefix) :])
                return None if name is None else prefix + name
        if any(pattern.search(key) for pattern in self.unused):
            return None
        for pattern, replacement in self.rules:
            key = pattern.sub(replacement, key)
        return key

    def convert(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename a whole state dict.

        Raises:
            ValueError: If two upstream keys end up with the same name.
        """
        converted: dict[str, Tensor] = {}
        for key, value in state_dict.items():
            name = self.rename(key)
            if name is None:
                continue
            if name in converted:
                raise ValueError(f'{key!r} and another key both map to {name!r}')
            if key.endswith('weight') and value.dim() == 3 and value.shape[-1] == 1:
                value = value.unsqueeze(-1)  # Conv1d(1) -> Conv2d(1)
            for pattern, num_axes in self.num_axes:
                if pattern.search(name):
                    value = _with_axes(value, num_axes)
            converted[name] = value
        return converted


def _with_axes(value: Tensor, num_axes: int) -> Tensor:
    shape = [size for size in value.shape if size > 1 or value.dim() <= num_axes]
    return value.reshape(*shape, *[1] * (num_axes - len(shape)))

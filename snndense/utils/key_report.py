"""How the keys of a checkpoint fit a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .tables import listed

#: Entry of a state dict's ``_metadata`` that names the published file it is from.
ORIGIN = 'published_file'


@dataclass(frozen=True)
class KeyReport:
    """How the keys of a checkpoint fit a model.

    Attributes:
        matched (tuple[str]): Keys of both, with the same shape.
        missing (tuple[str]): Keys of the model that the checkpoint lacks.
        unexpected (tuple[str]): Keys of the checkpoint that the model lacks.
        conflicts (dict[str, tuple]): Shapes in the checkpoint and in the model, of
            the keys where they differ.
        expected (dict[str, str]): Of the keys that are missing or unexpected, those
            that have to be, with the reason.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    conflicts: dict[str, tuple[tuple, tuple]]
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def unloaded(self) -> tuple[str, ...]:
        """Keys of the model that would keep their initial values."""
        return (*self.missing, *self.conflicts)

    @property
    def surprises(self) -> tuple[str, ...]:
        """Keys that are missing, left over or of another shape for no reason."""
        keys = (*self.unloaded, *self.unexpected)
        return tuple(key for key in keys if key not in self.expected)

    @property
    def advice(self) -> str:
        """What to change in the backbone so that the weights fit, where keys tell."""
        if not any('layer_scales' in key for key in self.surprises):
            return ''
        in_file = any('layer_scales' in key for key in self.unexpected)
        has, value = ('has', '1e-6') if in_file else ('lacks', '0')
        return (
            f'The file {has} layer scales: set layer_scale_init_value={value} in the '
            'backbone. '
        )

    def __str__(self) -> str:
        shapes = [
            f'{key} {stored} instead of {wanted}'
            for key, (stored, wanted) in self.conflicts.items()
        ]
        lines = [f'{len(self.matched)} keys match']
        for what, keys in (
            ('missing in the checkpoint', self.missing),
            ('unexpected in the checkpoint', self.unexpected),
        ):
            for reason, group in self._by_reason(keys).items():
                because = f' ({reason})' if reason else ''
                lines.append(f'{len(group)} {what}{because}: {listed(group)}')
        if shapes:
            lines.append(f'{len(shapes)} of another shape: {listed(shapes)}')
        return '\n'.join(f'  - {line}' for line in lines)

    def _by_reason(self, keys: tuple[str, ...]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for key in keys:
            groups.setdefault(self.expected.get(key, ''), []).append(key)
        return groups


def compare_keys(
    wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor]
) -> KeyReport:
    """Compare the state dict of a model with the one of a checkpoint.

    Args:
        wanted (Mapping): State dict of the model.
        stored (Mapping): State dict of the checkpoint.
    """
    conflicts = {
        key: (tuple(stored[key].shape), tuple(value.shape))
        for key, value in wanted.items()
        if key in stored and stored[key].shape != value.shape
    }
    return KeyReport(
        matched=tuple(k for k in wanted if k in stored and k not in conflicts),
        # old checkpoints lack the counter, and torch fills it in
        missing=tuple(
            k
            for k in wanted
            if k not in stored and not k.endswith('num_batches_tracked')
        ),
        unexpected=tuple(k for k in stored if k not in wanted),
        conflicts=conflicts,
    )

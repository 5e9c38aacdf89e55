"""Where the contents of a tensor come from, and how many time steps it holds.

Known by storage, so that views need no care. Every operator that a counter sees renews
what is known of its output, so that memory that is used again is never mistaken.
"""

from typing import Any, NamedTuple, Optional

from torch import Tensor


class Origin(NamedTuple):
    """Where the contents of a storage come from.

    Attributes:
        kind (str): ``'spikes'``, ``'real'`` or ``'weight'``.
        norm (float): Of spikes: value = number of spikes / norm.
        foldable (bool): Whether a batch norm on it folds into what computed it.
    """

    kind: str
    norm: float = 1
    foldable: bool = False


REAL = Origin('real')
WEIGHT = Origin('weight')
PRODUCT = Origin('real', foldable=True)


class OriginMap:
    """Origins of tensors, and over how many time steps their first axis runs."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Optional[Origin], int]] = {}

    def _get(self, x: Any) -> tuple[Optional[Origin], int]:
        if not isinstance(x, Tensor):
            return None, 1
        return self._known.get(x.untyped_storage()._cdata, (None, 1))

    def origin(self, x: Any) -> Optional[Origin]:
        """Origin of a tensor; None where it is unknown, or no tensor is given."""
        return self._get(x)[0]

    def steps(self, x: Any) -> int:
        """Time steps that are folded into a tensor; 1 without time."""
        return self._get(x)[1]

    def is_weight(self, x: Any) -> bool:
        """Whether a tensor is a parameter or buffer, or a copy of one."""
        return self.origin(x) == WEIGHT

    def set(self, x: Tensor, origin: Optional[Origin], steps: int = 1) -> None:
        """Note what a tensor is, and forget what used its memory before."""
        self._known[x.untyped_storage()._cdata] = origin, steps

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

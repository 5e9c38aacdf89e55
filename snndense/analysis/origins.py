"""Where the contents of a tensor come from, and how many time steps it holds.

Known by storage, so that views need no care. Every operator that a counter sees renews
what is known of its output, so that memory that is used again is never mistaken.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

CONSTANT, IMAGE, NEURONS = range(3)


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


class Time(NamedTuple):
    """How a tensor depends on time.

    Attributes:
        steps (int): Time steps that it holds; 1 without time.
        source (int): ``CONSTANT``, the same for every input; ``IMAGE``, of the input
            alone, and so the same at all steps; ``NEURONS``, of neurons or of event
            frames.
    """

    steps: int = 1
    source: int = IMAGE


STILL = Time(1, CONSTANT)


class _Record(NamedTuple):
    origin: Origin | None
    time: Time
    stride: int  # elements from one step to the next


class OriginMap:
    """Origins of tensors, and how they depend on time.

    Attributes:
        unknown (Time): Of tensors that nothing is known of.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Record] = {}
        self.unknown = Time()

    def _get(self, x: Any) -> _Record | None:
        if not isinstance(x, Tensor):
            return None
        return self._known.get(x.untyped_storage()._cdata)

    def origin(self, x: Any) -> Origin | None:
        """Origin of a tensor; None where it is unknown, or no tensor is given."""
        record = self._get(x)
        return None if record is None else record.origin

    def time(self, x: Tensor) -> Time:
        """How a tensor, perhaps a view of a larger one, depends on time."""
        record = self._get(x)
        time = self.unknown if record is None else record.time
        if time.steps > 1:
            return time._replace(steps=_steps_of_view(x, record.stride, time.steps))
        if time.source == IMAGE and x.dim() and x.stride(0) == 0 and len(x) > 1:
            return time._replace(steps=len(x))  # expanded
        return time

    def joint_time(self, tensors: Iterable[Tensor]) -> Time:
        """Time of what is computed from all of these."""
        times = [self.time(x) for x in tensors]
        if not times:
            return STILL
        return Time(max(t.steps for t in times), max(t.source for t in times))

    def is_weight(self, x: Any) -> bool:
        """Whether a tensor is a parameter or buffer, or a copy of one."""
        return self.origin(x) == WEIGHT

    @staticmethod
    def share_storage(x: Tensor, y: Tensor) -> bool:
        """Whether two tensors lie in the same memory."""
        return x.untyped_storage()._cdata == y.untyped_storage()._cdata

    def set(
        self,
        x: Tensor,
        origin: Origin | None,
        time: Time,
        stride: int | None = None,
    ) -> None:
        """Note what a tensor is, and forget what used its memory before.

        Args:
            x (Tensor): The tensor.
            origin (Origin, optional): Where it comes from, if known.
            time (Time): How it depends on time.
            stride (int, optional): Elements from one step to the next. None: the steps
                are the slowest index of its storage.
        """
        storage = x.untyped_storage()
        if stride is None:
            stride = max(storage.nbytes() // x.element_size() // time.steps, 1)
        self._known[storage._cdata] = _Record(origin, time, stride)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self.unknown = Time()


def _steps_of_view(x: Tensor, stride: int, steps: int) -> int:
    """Steps that a view touches, in memory where they are ``stride`` elements apart."""
    if x.numel() == 0 or x.layout is not torch.strided:
        return steps
    reached, inner = {0}, x.storage_offset() % stride
    for size, step in zip(x.shape, x.stride(), strict=True):
        if step < stride:
            inner += (size - 1) * step
        else:
            jumps = range(0, min(size, steps) * (step // stride), step // stride)
            reached = {(r + jump) % steps for r in reached for jump in jumps}
    crossed = range(min(inner // stride + 1, steps))
    return len({(r + cross) % steps for r in reached for cross in crossed})

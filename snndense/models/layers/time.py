"""Time folded into the batch.

Between modules a tensor is ``(T*N, C, H, W)`` with time the slower index
(T-major): entry ``t * N + n`` is step ``t`` of sample ``n``. Convolutions, norms
and stock OpenMMLab modules run on it unchanged; only neurons and statistics over
time need the two axes apart.
"""

from torch import Tensor


def unfold_time(x: Tensor, time_steps: int) -> Tensor:
    """Split the folded axis: ``(T*N, ...) -> (T, N, ...)``, a view.

    Raises:
        ValueError: If the first axis is not a multiple of ``time_steps``.
    """
    if x.shape[0] % time_steps:
        raise ValueError(
            f'expected a first axis of time_steps * batch size, but '
            f'{x.shape[0]} is not a multiple of {time_steps=}. Give the backbone, '
            "its neck and its heads the same 'time_steps', and out_mode='sequence' "
            'to a backbone in front of a spiking neck'
        )
    # not -1 for the batch: an image without proposals gives an empty tensor
    return x.reshape(time_steps, x.shape[0] // time_steps, *x.shape[1:])


def fold_time(x: Tensor) -> Tensor:
    """Join time and batch: ``(T, N, ...) -> (T*N, ...)``."""
    return x.flatten(0, 1)


def repeat_time(x: Tensor, time_steps: int) -> Tensor:
    """Direct encoding: ``(N, ...) -> (T*N, ...)``, the same input at every step."""
    if time_steps == 1:
        return x
    return x.repeat(time_steps, *[1] * (x.dim() - 1))


def mean_over_time(x: Tensor, time_steps: int) -> Tensor:
    """Rate decoding: ``(T*N, ...) -> (N, ...)``, the mean over the T steps."""
    if time_steps == 1:
        return x
    return unfold_time(x, time_steps).mean(0)

"""Numbers that describe a receptive field.

The published ST-ERF code reports none; these are ours, but for :func:`square_area`.
Maps are ``(H, W)`` and not negative; positions are row and column in pixels.
"""

import math

import numpy as np


def _distances(shape: tuple[int, int], position: tuple[float, float]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - position[0], columns - position[1])


def _check_map(erf: np.ndarray) -> None:
    if erf.ndim != 2 or not erf.sum() > 0:
        raise ValueError(
            'expected a map (H, W) that is not zero everywhere, but got shape '
            f'{erf.shape} with the sum {erf.sum()}'
        )


def radius_at(
    erf: np.ndarray, position: tuple[float, float], quantile: float
) -> int | None:
    """Smallest whole radius that holds a share of the map.

    Args:
        erf (np.ndarray): Map.
        position (tuple[float, float]): Of the unit.
        quantile (float): The share, in (0, 1].

    Returns:
        int: Pixels.
    """
    _check_quantile(quantile)
    _check_map(erf)
    # a ring belongs to the smallest whole radius that reaches it
    rings = np.ceil(_distances(erf.shape, position)).astype(int)
    within = np.cumsum(np.bincount(rings.ravel(), erf.ravel()))
    within /= within[-1]
    return int(np.searchsorted(within, min(quantile, within[-1])))


def radial_profile(erf: np.ndarray, position: tuple[float, float]) -> np.ndarray:
    """Mean of the map over rings one pixel wide; entry r is about distance r.

    NaN where a ring has no pixel, as may be at 0.
    """
    rings = np.rint(_distances(erf.shape, position)).astype(int).ravel()
    counts = np.bincount(rings)
    sums = np.bincount(rings, erf.ravel())
    return np.divide(sums, counts, np.full(len(counts), np.nan), where=counts > 0)


def effective_sigma(erf: np.ndarray) -> tuple[float, float]:
    """Standard deviation of the map about its centroid, rows and columns, in pixels."""
    _check_map(erf)
    weights = erf / erf.sum()
    sigmas = []
    for axis in (0, 1):
        marginal = weights.sum(1 - axis)
        places = np.arange(len(marginal))
        mean = marginal @ places
        sigmas.append(float(np.sqrt(marginal @ (places - mean) ** 2)))
    return tuple(sigmas)


def area_fraction(erf: np.ndarray, eps: float) -> float:
    """Share of the pixels above ``eps`` times the maximum."""
    _check_map(erf)
    return float((erf > eps * erf.max()).mean())


def contribution_area(erf: np.ndarray, quantile: float) -> float:
    """Share of the pixels that, strongest first, hold a share of the map.

    Unlike a radius it does not presume a round field.
    """
    _check_quantile(quantile)
    _check_map(erf)
    held = np.cumsum(np.sort(erf, axis=None)[::-1])
    return float((np.searchsorted(held, quantile * held[-1]) + 1) / erf.size)


def square_area(erf: np.ndarray, quantile: float) -> tuple[int, float] | None:
    """Side and area share of the centred square that holds a share of the map.

    The rule of RepLKNet (https://arxiv.org/abs/2203.06717): of ``log10(m + 1)``,
    divided by its maximum, squares of side ``2i + 1``, ``i = 1, 2, ... < h // 2``,
    grow until they hold more than ``quantile``. Because of the logarithm the result
    depends on the scale of the map; divide by its maximum to compare models.

    Returns:
        tuple[int, float]: Side in pixels and ``side ** 2 / (h * w)``; None if no
        square holds so much.
    """
    _check_quantile(quantile)
    _check_map(erf)
    logs = np.log10(erf + 1)
    total = logs.sum()
    row, column = (side // 2 for side in erf.shape)
    for i in range(1, erf.shape[0] // 2):
        rows = slice(row - i, row + i + 1)
        columns = slice(max(column - i, 0), column + i + 1)
        if logs[rows, columns].sum() / total > quantile:
            return 2 * i + 1, (2 * i + 1) ** 2 / erf.size
    return None


def temporal_half_life(profile: np.ndarray) -> int | None:
    """First delay at which the profile is below half of its maximum; None if none."""
    below = np.flatnonzero(profile < profile.max() / 2)
    after = below[below > profile.argmax()]
    return int(after[0]) if len(after) else None


def temporal_decay(profile: np.ndarray) -> float | None:
    """Slope of a straight line through the logarithms of a profile, per step.

    Delays where the profile is zero are left out; None if fewer than two remain.
    """
    delays = np.flatnonzero(profile > 0)
    if len(delays) < 2:
        return None
    return float(np.polyfit(delays, np.log(profile[delays]), 1)[0])


def describe(erf: np.ndarray, position: tuple[float, float]) -> dict | None:
    """The statistics of one map that the tools print; None if it is zero everywhere.

    Returns:
        dict[str, float | None]: ``radius_50``, ``radius_90`` (:func:`radius_at`) and
        ``sigma`` (root mean square of :func:`effective_sigma`) in pixels; as shares
        of the image, ``area_50``, ``area_90`` (:func:`contribution_area`),
        ``area_above_1pct`` (:func:`area_fraction`) and ``square_50``
        (:func:`square_area` of the map over its maximum).
    """
    if not erf.any():
        return None
    square = square_area(erf / erf.max(), 0.5)
    return dict(
        radius_50=radius_at(erf, position, 0.5),
        radius_90=radius_at(erf, position, 0.9),
        sigma=math.hypot(*effective_sigma(erf)) / math.sqrt(2),
        area_50=contribution_area(erf, 0.5),
        area_90=contribution_area(erf, 0.9),
        area_above_1pct=area_fraction(erf, 0.01),
        square_50=None if square is None else square[1],
    )


def _check_quantile(quantile: float) -> None:
    if not 0 < quantile <= 1:
        raise ValueError(f'expected a share in (0, 1], but got {quantile}')

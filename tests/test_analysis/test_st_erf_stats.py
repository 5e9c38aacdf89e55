"""Statistics of receptive fields, on maps whose answer is known."""

import json

import numpy as np
import pytest

from snndense.analysis import st_erf_stats as stats

from .conftest import DATA


def disc(side: int, radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side)) - side // 2
    return (np.hypot(rows, columns) <= radius).astype(float)


def gaussian(shape: tuple, center: tuple, sigmas: tuple) -> np.ndarray:
    y, x = np.indices(shape)
    return np.exp(
        -((y - center[0]) ** 2) / 2 / sigmas[0] ** 2
        - (x - center[1]) ** 2 / 2 / sigmas[1] ** 2
    )


def share_within(erf: np.ndarray, center: tuple, radius: float) -> float:
    rows, columns = np.indices(erf.shape)
    distances = np.hypot(rows - center[0], columns - center[1])
    return erf[distances <= radius].sum() / erf.sum()


def test_radius():
    erf = disc(21, 6)
    center = (10, 10)
    for quantile in (0.01, 0.25, 0.5, 0.9, 1):
        radius = stats.radius_at(erf, center, quantile)
        assert share_within(erf, center, radius) >= quantile
        if radius > 0:
            assert share_within(erf, center, radius - 1) < quantile
    assert stats.radius_at(erf, center, 1) == 6
    assert stats.radius_at(erf, (10, 0), 1) > 6


def test_radius_of_a_point_between_pixels():
    erf = np.zeros((4, 4))
    erf[1:3, 1:3] = 1
    assert stats.radius_at(erf, (1.5, 1.5), 0.5) == 1


def test_sigma_of_a_gaussian():
    erf = gaussian((81, 101), (38, 52), (5, 8))
    assert stats.effective_sigma(erf) == pytest.approx((5, 8), rel=1e-3)
    assert stats.effective_sigma(3 * erf) == pytest.approx((5, 8), rel=1e-3)


def test_contribution_area():
    erf = np.array([[4.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
    assert stats.contribution_area(erf, 0.4) == pytest.approx(1 / 6)
    assert stats.contribution_area(erf, 0.5) == pytest.approx(2 / 6)
    assert stats.contribution_area(erf, 0.9) == pytest.approx(4 / 6)
    assert stats.contribution_area(np.ones((4, 5)), 1) == 1


def test_area_fraction():
    erf = np.array([[1.0, 0.5], [0.02, 0.0]])
    assert stats.area_fraction(erf, 0.01) == 0.75
    assert stats.area_fraction(erf, 0.1) == 0.5


def test_recorded_squares():
    recorded = json.loads((DATA / 'sterf_spatial.json').read_text())['area_statistic']
    erf = np.array(recorded['map'])
    sides = recorded['result_side_and_area_ratio']
    for quantile, expected in sides.items():
        found = stats.square_area(erf, float(quantile))
        assert found == (None if expected is None else pytest.approx(expected))
    assert stats.square_area(100 * erf, 0.5) != stats.square_area(erf, 0.5)


def test_radial_profile():
    profile = stats.radial_profile(disc(21, 4), (10, 10))
    assert profile[:4].tolist() == [1, 1, 1, 1]
    assert not profile[6:].any()
    between = stats.radial_profile(disc(21, 4), (9.5, 9.5))
    assert np.isnan(between[0]) and between[1] == 1


def test_temporal_profile():
    profile = 4 * 0.6 ** np.arange(6)
    assert stats.temporal_decay(profile) == pytest.approx(np.log(0.6))
    assert stats.temporal_half_life(profile) == 2
    assert stats.temporal_half_life(np.array([1.0, 4.0, 3.0, 1.0])) == 3
    assert stats.temporal_half_life(np.ones(3)) is None
    assert stats.temporal_decay(np.array([1.0])) is None
    assert stats.temporal_decay(np.array([1.0, 0.0, 0.25])) == pytest.approx(
        np.log(0.5)
    )


def test_description_does_not_depend_on_the_scale():
    erf = gaussian((41, 41), (20, 20), (4, 4))
    found = stats.describe(erf, (20, 20))
    assert found == pytest.approx(stats.describe(1e3 * erf, (20, 20)))
    assert found['sigma'] == pytest.approx(4, rel=1e-3)
    # of a Gaussian, half lies within 1.177 sigma
    assert found['radius_50'] == 5
    assert found['radius_90'] == 9
    assert stats.describe(np.zeros((5, 5)), (2, 2)) is None


def test_mistakes():
    zero, center = np.zeros((5, 5)), (2, 2)
    for call in (
        lambda: stats.radius_at(zero, center, 0.5),
        lambda: stats.effective_sigma(np.ones(3)),
    ):
        with pytest.raises(ValueError, match='not zero everywhere'):
            call()
    for quantile in (0, 1.1):
        with pytest.raises(ValueError, match=r'share in \(0, 1\]'):
            stats.radius_at(np.ones((5, 5)), center, quantile)

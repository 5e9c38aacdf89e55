"""Figures of receptive fields say what was measured."""

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.text import Text

from snndense.analysis import (
    LayerERF,
    STERFResult,
    plot_areas,
    plot_erf,
    plot_profiles,
    plot_temporal,
)

LAYERS = ('stages.0', 'stages.1', 'a.very.long.name.of.a.layer.of.the.last.stage')


def result(scale: float = 1.0, delays: int = 0) -> STERFResult:
    """Gaussians, twice as wide from layer to layer, half as high from delay to delay"""
    rows, columns = np.indices((20, 24))
    per_layer = {}
    for index, name in enumerate(LAYERS):
        square = (rows - 10) ** 2 + (columns - 12) ** 2
        erf = scale * np.exp(-square / 2 / 4**index)
        if delays:
            erf = np.stack([erf / 2**delay for delay in range(delays)])
        per_layer[name] = LayerERF(erf, (5, 6), (10.0, 12.0))
    return STERFResult(per_layer, 4, dict(model='Tiny'))


def drawn(figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.images and axis.axison]


def test_a_row_per_model_and_a_column_per_layer():
    figure = plot_erf({'a': result(), 'b': result(100.0)})
    axes = drawn(figure)[: 2 * len(LAYERS)]
    assert [axis.get_title() for axis in axes[:2]] == list(LAYERS[:2])
    assert axes[2].get_title().replace('\n', '') == LAYERS[2]
    assert [axes[i].get_ylabel() for i in (0, 3)] == ['a', 'b']
    for axis in axes:  # each has its own scale
        assert axis.images[0].get_array().max() == 1
        assert axis.images[0].get_clim() == (0, 1)
    shared = drawn(plot_erf({'a': result(), 'b': result(100.0)}, shared=True))
    assert shared[0].images[0].get_array().max() == pytest.approx(0.01)
    assert shared[3].images[0].get_array().max() == 1


def test_delays_have_a_common_scale():
    axes = drawn(plot_erf(result(delays=3)))[:9]
    assert [axis.get_title() for axis in axes[:3]] == ['delay 0', 'delay 1', 'delay 2']
    peaks = [axis.images[0].get_array().max() for axis in axes]
    assert peaks == [1, 0.5, 0.25] * 3
    assert axes[3].get_ylabel() == 'Tiny\nstages.1'


def test_logarithmic_maps():
    image = drawn(plot_erf(result(), log=True, cmap='magma'))[0].images[0]
    assert image.get_clim() == (-6, 0)
    assert image.get_array().max() == pytest.approx(0, abs=1e-6)
    assert image.get_cmap().name == 'magma'


def test_profiles_are_overlaid():
    figure = plot_profiles({'a': result(), 'b': result(3.0)})
    radial, cuts = figure.axes[0], figure.axes[len(LAYERS)]
    assert len(radial.lines) == 2 and len(cuts.lines) == 4
    first, second = (line.get_ydata() for line in radial.lines)
    np.testing.assert_allclose(first, second)  # each over its maximum
    row = cuts.lines[0]
    assert row.get_xdata()[row.get_ydata().argmax()] == 0
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['a', 'b']


def test_areas_grow_with_the_field():
    figure = plot_areas({'a': result()}, quantiles=(0.5,))
    (line,) = figure.axes[0].lines
    areas = line.get_ydata()
    assert (np.diff(areas) > 0).all()
    assert areas[1] == pytest.approx(4 * areas[0], rel=0.6)


def test_temporal_profiles():
    profiles = {
        name: LayerERF(np.array([4.0, 2.0, 1.0]), (5, 6), None) for name in LAYERS
    }
    for measured in (result(delays=3), STERFResult(profiles, 4)):
        line = plot_temporal(measured).axes[0].lines[0]
        np.testing.assert_allclose(line.get_ydata(), [1, 0.5, 0.25])


def test_small_figures():
    """Narrow, with whole names in lines."""
    name = 'stages.3.blocks.0.branches.attn.proj_conv'
    erf = result(delays=2).per_layer['stages.0']
    measured = STERFResult({'stages.0': erf, name: erf}, 4)
    with rc_context({'font.size': 7.5}):
        for figure in (
            plot_erf(measured, size=0.9, columns=2, bar='bottom'),
            plot_temporal(measured, size=0.9, columns=2),
            plot_areas(measured, size=0.5),
        ):
            assert figure.get_figwidth() < 3.4
            figure.draw_without_rendering()
            texts = figure.findobj(lambda artist: isinstance(artist, Text))
            texts = [text for text in texts if text.get_text()]
            (title,) = {t.get_text() for t in texts if 'proj_conv' in t.get_text()}
            assert title.replace('\n', '').endswith(name) and '\n' in title
            assert min(text.get_fontsize() for text in texts) >= 6.75  # 9 pixels
    wide = plot_erf(STERFResult({name: erf}, 4), columns=1).get_figwidth()
    assert wide > 2 * 2.3


def test_figures_can_be_written(tmp_path):
    volumes = {'a': result(delays=2), 'b': result(delays=2)}
    for plot in (plot_erf, plot_profiles, plot_areas, plot_temporal):
        path = tmp_path / f'{plot.__name__}.png'
        plot(volumes).savefig(path)
        assert path.stat().st_size > 1000


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match='at least one result'):
        plot_erf({})
    apart = LayerERF(np.ones((2, 3, 8, 8)), (2, 2), (4.0, 4.0))
    with pytest.raises(ValueError, match="reduce='mean'"):
        plot_erf(STERFResult({'a': apart}, 2))
    everywhere = LayerERF(np.ones((8, 8)), (2, 2), None)
    with pytest.raises(ValueError, match="unit='all'"):
        plot_profiles(STERFResult({'a': everywhere}, 2))

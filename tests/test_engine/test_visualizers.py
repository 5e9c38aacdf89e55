"""The visualizers of the toolboxes, built and called in one way."""

import numpy as np
import pytest
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from snndense.engine.visualizers import (
    OPTIONS,
    TYPES,
    build_visualizer,
    draw_sample,
    predict_for_size,
)

META = dict(classes=('cat', 'dog'), palette=[(0, 0, 255), (0, 255, 0)])


@pytest.mark.parametrize('scope', TYPES)
def test_visualizer_is_one_of_its_own(scope):
    pytest.importorskip(scope)
    of_runner = Visualizer.get_instance(f'runner of {scope}')
    visualizer = build_visualizer(scope, META, dpi=200, **OPTIONS[scope])
    assert f'{scope}.{type(visualizer).__name__}' == TYPES[scope]
    assert visualizer.dataset_meta == META
    assert visualizer.dpi == 200 != of_runner.dpi
    assert Visualizer.get_current_instance() is of_runner
    # what data without names of classes leave is the toolbox's own
    default = build_visualizer(scope).dataset_meta
    assert build_visualizer(scope, dict(classes=None)).dataset_meta == default


@pytest.mark.parametrize('scope', TYPES)
def test_nothing_is_drawn_of_an_empty_sample(scope, tmp_path):
    pytest.importorskip(scope)
    image = np.full((20, 30, 3), (255, 128, 0), np.uint8)
    path = tmp_path / 'image.png'
    options = dict(draw_gt=False, out_file=str(path))
    drawn = draw_sample(build_visualizer(scope), image, BaseDataElement(), **options)
    assert drawn.shape == image.shape and path.exists()
    if scope != 'mmpretrain':  # which has an empty box for the text
        assert (drawn == image).all()


def test_size_of_a_prediction():
    meta = dict(ori_shape=(10, 20, 3), scale_factor=(1.5, 2.0))
    sample = BaseDataElement(metainfo=meta)
    predict_for_size(sample, (40, 60))
    assert sample.ori_shape == (40, 60)
    assert sample.scale_factor == (0.5, 0.5)
    bare = BaseDataElement(metainfo=dict(ori_shape=(10, 20)))
    predict_for_size(bare, (5, 10))
    assert bare.ori_shape == (5, 10) and 'scale_factor' not in bare

"""Every experiment in ``configs/ablations``."""

from pathlib import Path

import pytest
import torch

from snndense.engine import preflight
from snndense.engine.ablation import read_experiment
from snndense.models.backbones.lsformer_attention import LSSSA, SSA
from snndense.models.backbones.lsformer_pooling import SPooling

EXPERIMENTS = sorted((Path(__file__).parents[1] / 'configs/ablations').glob('*.py'))


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda path: path.stem)
def test_variants_have_one_budget(path):
    pytest.importorskip('mmdet' if path.stem.endswith('det') else 'mmpretrain')
    variants = list(read_experiment(path).variants.values())
    settings = [variant.cfg.to_dict() for variant in variants]
    models = [setting.pop('model') for setting in settings]
    assert all(models.count(model) == 1 for model in models)
    if 'backbones' in path.stem:  # other strides, and gains that do not decay
        for setting in settings:
            setting['optim_wrapper'].pop('paramwise_cfg')
    else:
        for model in models:
            model.pop('backbone')
        assert all(model == models[0] for model in models)
    assert all(setting == settings[0] for setting in settings)
    assert all(variant.num_parameters() < 2_000_000 for variant in variants)


@pytest.mark.parametrize('task', ['det', 'cls'])
def test_parts_of_lsformer_are_replaced(task):
    pytest.importorskip('mmdet' if task == 'det' else 'mmpretrain')
    folder = Path(__file__).parents[1] / 'configs/ablations'
    variants = read_experiment(folder / f'lsformer_digits_{task}.py').variants
    with torch.device('meta'):
        backbones = {
            name: preflight.build_model(variant.cfg).backbone
            for name, variant in variants.items()
        }

    def options(name: str) -> tuple:
        parts = list(backbones[name].modules())
        spools = {part.spool for part in parts if isinstance(part, SPooling)}
        rates = {part.dilations for part in parts if isinstance(part, LSSSA)}
        return spools, rates, SSA in map(type, parts)

    rates = {(1, 2), (1, 2, 3, 4)}
    assert options('baseline') == ({'if'}, rates, False)
    assert options('max-pooling') == ({'max'}, rates, False)
    assert options('average-pooling') == ({'avg'}, rates, False)
    assert options('dilation-1') == ({'if'}, {(1,)}, False)
    assert options('global-attention') == ({'if'}, set(), True)

"""Every experiment in ``configs/ablations``."""

import re
from pathlib import Path

import pytest
import torch

from snndense.engine import preflight
from snndense.models.backbones.lsformer_attention import LSSSA, SSA
from snndense.models.backbones.lsformer_pooling import SPooling
from snndense.studies.ablation import read_experiment

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / 'configs/ablations').glob('*.py'))


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
    if 'digits' in path.stem:
        assert all(variant.num_parameters() < 2_000_000 for variant in variants)


@pytest.mark.parametrize('task', ['det', 'cls'])
def test_parts_of_lsformer_are_replaced(task):
    pytest.importorskip('mmdet' if task == 'det' else 'mmpretrain')
    path = ROOT / f'configs/ablations/lsformer_digits_{task}.py'
    variants = read_experiment(path).variants
    with torch.device('meta'):
        backbones = {
            name: preflight.build_model(variant.cfg).backbone
            for name, variant in variants.items()
        }

    def options(name: str) -> tuple:
        parts = list(backbones[name].modules())
        spools = {part.spool for part in parts if isinstance(part, SPooling)}
        rates = {part.dilations for part in parts if isinstance(part, LSSSA)}
        offsets = any(getattr(part, 'rel_bias', None) is not None for part in parts)
        return spools, rates, offsets, SSA in map(type, parts)

    rates = {(1, 2), (1, 2, 3, 4)}
    assert options('baseline') == ({'if'}, rates, True, False)
    assert options('max-pooling') == ({'max'}, rates, True, False)
    assert options('average-pooling') == ({'avg'}, rates, True, False)
    assert options('dilation-1') == ({'if'}, {(1,)}, True, False)
    assert options('no-offset-term') == ({'if'}, rates, False, False)
    assert options('global-attention') == ({'if'}, set(), False, True)


def test_documented_experiment(tmp_path):
    pytest.importorskip('mmdet')
    text = (ROOT / 'docs/ablations.md').read_text()
    (block,) = re.findall(r'^```python\n(.*?)^```', text, re.M | re.S)
    path = tmp_path / 'experiment.py'
    path.write_text(block.replace('../', f'{ROOT}/configs/'))
    variants = read_experiment(path).variants
    assert variants['max-pooling'].cfg.model.backbone.spool == 'max'
    for row in re.findall(r'\]\(\.\./(configs/ablations/.*?\.py)\)', text):
        assert ROOT / row in EXPERIMENTS


def test_a_common_budget_is_set_before_the_variants_and_the_command_line(tmp_path):
    pytest.importorskip('mmdet')
    path = tmp_path / 'experiment.py'
    path.write_text(
        f"config = '{ROOT}/configs/det/lsformer_digits.py'\n"
        "metrics = {'box AP': 'coco/bbox_mAP'}\n"
        "cfg_options = {'train_cfg.max_epochs': 3, 'param_scheduler.1.end': 3}\n"
        "long = {'train_cfg.max_epochs': 5}\n"
        'variants = dict(base=dict(), long=dict(cfg_options=long))\n'
    )

    def epochs(**options) -> dict[str, int]:
        variants = read_experiment(path, options).variants
        return {name: v.cfg.train_cfg.max_epochs for name, v in variants.items()}

    assert epochs() == dict(base=3, long=5)
    assert epochs(**{'train_cfg.max_epochs': 1}) == dict(base=1, long=1)
    assert read_experiment(path).variants['long'].cfg.param_scheduler[1].end == 3

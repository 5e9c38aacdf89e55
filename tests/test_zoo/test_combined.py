"""The table of backbones by tasks: true, complete, and in the README."""

from pathlib import Path

import pytest

from snndense.analysis.macs import model_macs
from snndense.studies.measuring import default_shape, load_model
from snndense.zoo import find_entry, load_zoo
from snndense.zoo.combined import backbones, combined_table

ROOT = Path(__file__).parents[2]


def row(name: str) -> list[str]:
    (line,) = [x for x in combined_table().splitlines() if f'| `{name}` |' in x]
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_readme_has_it():
    assert combined_table() in (ROOT / 'README.md').read_text()


def test_rows_are_backbones():
    names = set(backbones(load_zoo()))
    assert {'meta_sdt_srb', 'lsformer_h-t', 'spikformer_8-384'} <= names
    # a head of its own, or no dense task
    assert not names & {'meta_sdt_srb_fpn', 'meta_sdt_srb_retinanet', 'sdt_v2_124m'}


def test_cells_of_a_backbone():
    cells = row('meta_sdt_srb')
    assert cells[0] == 'Meta-SDT'
    for first, folder, dataset in ((2, 'det', 'coco'), (5, 'seg', 'ade20k')):
        config = f'configs/{folder}/meta_sdt_srb_{dataset}.py'
        entry = find_entry(config)
        assert cells[first] == f'[{entry.parameters / 1e6:.1f}]({config})'
        assert cells[first + 1] == f'{entry.macs / 1e9:.1f}'
    # of the config with the published settings, and of this one
    assert cells[4] == '25.8 / 22.5 ᵖ' and cells[7] == '43.7 ᵖ'
    assert cells[10] == ''  # nothing is known
    assert row('meta_sdt_mlpixer-r6_s')[2:5] == ['', '', '']  # no such config


def test_macs_are_known():
    for entry in load_zoo():
        if entry.stem.endswith(('_coco', '_ade20k', '_imagenet')):
            assert entry.macs, entry.config


@pytest.mark.parametrize(
    'name',
    ['lsformer_h-t_imagenet', 'meta_sdt_srb_s_ade20k', 'meta_sdt_srb_retinanet_coco'],
)
def test_macs_are_true(name, load_config):
    entry = find_entry(name)
    cfg = load_config(f'{entry.task}/{name}')
    report = model_macs(load_model(cfg), default_shape(cfg), scope=cfg.default_scope)
    assert report.macs == entry.macs

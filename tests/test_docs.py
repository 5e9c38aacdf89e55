"""The code in the documentation runs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snndense.models.backbones import SpikingBackbone
from snndense.registry import MODELS as SNNDENSE_MODELS

ROOT = Path(__file__).parents[1]


def blocks(path: str) -> list[str]:
    """Python blocks of a document."""
    return re.findall(r'^```python\n(.*?)^```', (ROOT / path).read_text(), re.M | re.S)


@pytest.fixture
def mmdet_scope() -> Iterator[None]:
    pytest.importorskip('mmdet.utils').register_all_modules(init_default_scope=True)
    yield
    init_default_scope('mmengine')


CONFIGS = [
    pytest.param(block, id=f'{path}-{index}')
    for path in ('README.md', 'docs/swap_a_backbone.md', 'docs/lsformer.md')
    for index, block in enumerate(blocks(path))
    if block.startswith('_base_')
]


@pytest.mark.parametrize('text', CONFIGS)
def test_swapped_backbone_trains(text, mmdet_scope):
    from mmdet.testing import demo_mm_inputs

    from snndense.models.det import check_detector

    torch.manual_seed(0)
    cfg = Config.fromstring(text, '.py')
    if 'rpn_proposal' in cfg.model.train_cfg:
        cfg.model.train_cfg.rpn_proposal.max_per_img = 50  # quicker
    model = MODELS.build(cfg.model)
    check_detector(model)
    data = demo_mm_inputs(
        2,
        [(3, 64, 96), (3, 65, 97)],
        num_items=[2, 1],
        num_classes=80,
        with_mask=model.with_mask,
    )
    batch = model.train().data_preprocessor(data, training=True)
    loss = model.parse_losses(model(**batch, mode='loss'))[0]
    assert torch.isfinite(loss)
    loss.backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_swap_takes_eight_lines():
    assert len(CONFIGS[0].values[0].splitlines()) == 8


def test_added_backbone():
    path = 'docs/add_a_backbone.md'
    code = next(block for block in blocks(path) if 'class MyFormer' in block)
    names = dict(__name__='my_former', __package__='snndense.models.backbones')
    exec(code, names)
    try:
        backbone = names['MyFormer'](time_steps=2, out_mode='sequence')
        assert isinstance(backbone, SpikingBackbone)
        image = torch.rand(3, 3, 65, 97, requires_grad=True)
        maps = backbone(image)
        assert [x.shape for x in maps] == [(6, 32, 33, 49), (6, 64, 17, 25)]
        sum(x.square().sum() for x in maps).backward()
        assert image.grad.abs().sum() > 0
        assert all(p.grad is not None for p in backbone.parameters())
        assert backbone.get_layer_depth('stages.1.conv.weight') == (2, 4)
    finally:
        SNNDENSE_MODELS.module_dict.pop('MyFormer')


@pytest.mark.parametrize('path', ['docs/time_steps.md', 'docs/export.md'])
def test_examples_run(path, tmp_path, monkeypatch):
    if 'export' in path:
        pytest.importorskip('onnxruntime', reason='pip install onnxruntime')
    monkeypatch.chdir(tmp_path)
    examples = blocks(path)
    assert examples
    for code in examples:
        exec(code, {})


def test_documented_files_exist():
    documents = [
        path
        for pattern in ('*.md', 'docs/*.md', 'configs/*/README.md')
        for path in ROOT.glob(pattern)
    ]
    links = [
        (document, link)
        for document in documents
        for link in re.findall(r'\]\((?!https?:)([^)#]+)', document.read_text())
    ]
    assert links
    broken = [(d.name, link) for d, link in links if not (d.parent / link).exists()]
    assert not broken

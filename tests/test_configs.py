"""Every config parses, fits together, trains and predicts."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from snndense.models.backbones import SpikingBackbone

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path
    for folder in ('det', 'seg', 'cls')
    for path in (ROOT / 'configs' / folder).glob('*.py')
)
DETECTORS = [path for path in CONFIGS if path.parent.name == 'det']
HOSTS = dict(det='mmdet', seg='mmseg', cls='mmpretrain')

# published sizes, in parameters
PARAMETERS = {
    'meta_sdt_srb_coco': 37_523_384,
    'meta_sdt_srb_s_coco': 24_619_856,
    'meta_sdt_mlpixer_coco': 36_310_264,
    'meta_sdt_mlpixer-r6_coco': 39_085_016,
    'meta_sdt_conv_coco': 38_738_616,
    'meta_sdt_conv_m_coco': 21_172_240,
    'meta_sdt_conv_s_coco': 24_924_368,
    'meta_sdt_conv_spike-cascade_coco': 76_573_818,
    'sdt_v2_15m_coco': 34_863_320,
    'sdt_v2_15m_t4_coco': 34_863_320,
    'sdt_v2_55m_coco': 75_007_728,
    'sdt_v2_15m_spike-retinanet_coco': 24_595_676,
}
WIDTHS = (
    'in_channels',
    'out_channels',
    'feat_channels',
    'conv_out_channels',
    'fc_out_channels',
)
SMALL_WIDTH = 32  # the group norms of FCOS have 32 groups


@pytest.fixture(autouse=True)
def restore_scope() -> Iterator[None]:
    yield
    init_default_scope('mmengine')


def name(path: Path) -> str:
    return f'{path.parent.name}/{path.stem}'


def each(paths: list[Path]):
    return pytest.mark.parametrize('path', paths, ids=name)


@cache
def parse(path: Path) -> Config:
    return Config.fromfile(path)


def load(path: Path) -> Config:
    """A fresh copy of the config, with its host toolbox registered."""
    utils = pytest.importorskip(f'{HOSTS[path.parent.name]}.utils')
    utils.register_all_modules(init_default_scope=True)
    return deepcopy(parse(path))


def strings(node) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node


def shrink(cfg: Config) -> Config:
    """The same detector, a block per stage and 32 channels wide."""
    backbone = cfg.model.backbone
    backbone_class = MODELS.get(backbone.type)
    arch = backbone_class.resolve_arch(
        backbone.get('arch', 'l'), num_heads=backbone.get('num_heads')
    )
    heads = arch['num_heads']
    if isinstance(arch['depths'], int):  # blocks at one stride
        backbone.update(embed_dims=8 * heads, depths=1)
    else:
        if isinstance(heads, int):
            heads = (heads,) * len(arch['embed_dims'])
        backbone.embed_dims = tuple(
            index * number for index, number in enumerate(heads, start=1)
        )
        backbone.depths = (1,) * len(arch['depths'])
    if 'group_size' in arch:
        backbone.group_size = arch['mlp_ratio']  # divides every hidden width

    def narrow(node) -> None:
        if isinstance(node, (list, tuple)):
            for item in node:
                narrow(item)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in WIDTHS and isinstance(value, int):
                    node[key] = SMALL_WIDTH
                elif key != 'backbone':
                    narrow(value)

    narrow(cfg.model)
    cfg.model.neck.in_channels = list(MODELS.build(backbone).out_channels)
    return cfg


def declared_strides(model: nn.Module) -> Iterator[list[int]]:
    for path in ('rpn_head.prior_generator', 'bbox_head.prior_generator'):
        head, _, part = path.partition('.')
        if hasattr(model, head):
            generator = getattr(getattr(model, head), part)
            yield [stride[0] for stride in generator.strides]
    if getattr(model, 'roi_head', None) is not None:
        for extractor in model.roi_head.modules():
            if hasattr(extractor, 'featmap_strides'):
                yield list(extractor.featmap_strides)


@each(CONFIGS)
def test_relative_and_scalable(path):
    cfg = load(path)
    assert cfg.default_scope == HOSTS[path.parent.name]
    for phase in ('train', 'val', 'test'):
        dataset = cfg[f'{phase}_dataloader'].dataset
        assert dataset.data_root.startswith('data/')
    outside = [s for s in strings(cfg.to_dict()) if s.startswith(('/', '~', '..'))]
    assert not outside
    batch = cfg.train_dataloader.batch_size
    assert cfg.auto_scale_lr.base_batch_size % batch == 0


@each(CONFIGS)
def test_backbone_and_neck_fit(path):
    cfg = load(path)
    with torch.device('meta'):
        backbone = MODELS.build(cfg.model.backbone)
    assert isinstance(backbone, SpikingBackbone)
    if 'neck' in cfg.model and 'in_channels' in cfg.model.neck:
        assert tuple(cfg.model.neck.in_channels) == backbone.out_channels


@each(DETECTORS)
def test_strides_are_true_unless_published(path):
    model = MODELS.build(shrink(load(path)).model).eval()
    size = 128
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, model.backbone.in_channels, size, size))
    strides = [size // x.shape[-1] for x in maps]
    declared = list(declared_strides(model))
    assert declared
    for claim in declared:
        is_true = claim == strides[: len(claim)]
        assert is_true != path.stem.endswith('_published'), (claim, strides)


@each(DETECTORS)
def test_check_before_training_passes(path):
    from snndense.models.det import check_detector

    cfg = load(path)
    model = MODELS.build(shrink(cfg).model)
    published = path.stem.endswith('_published')
    assert cfg.get('allow_wrong_strides', False) == published
    check_detector(model, allow_wrong_strides=published)
    if published:
        with pytest.raises(ValueError, match='strides'):
            check_detector(model)


@pytest.mark.parametrize('stem', PARAMETERS)
def test_published_sizes(stem):
    for path in DETECTORS:
        if path.stem in (stem, f'{stem}_published'):
            with torch.device('meta'):
                model = MODELS.build(load(path).model)
            assert sum(p.numel() for p in model.parameters()) == PARAMETERS[stem]


@each([path for path in DETECTORS if path.stem.endswith('_published')])
def test_published_neck_evaluates_with_binary_spikes(path):
    cfg = shrink(load(path))
    neck = MODELS.build(cfg.model.neck)
    neuron_cfg = cfg.model.neck.neuron_cfg
    assert (neuron_cfg.levels, neuron_cfg.train_levels, neuron_cfg.norm) == (1, 4, 1)
    default = MODELS.build(shrink(load(published_twin(path))).model.neck)
    default.load_state_dict(neck.state_dict())
    maps = [
        torch.full((neck.time_steps, channels, 4, 4), 3.0)
        for channels in cfg.model.neck.in_channels
    ]
    same = [
        torch.equal(neck.train(mode)(maps)[0], default.train(mode)(maps)[0])
        for mode in (True, False)
    ]
    assert same == [True, False]


def published_twin(path: Path) -> Path:
    return path.with_name(path.name.replace('_published', ''))


@each(DETECTORS)
def test_trains_and_predicts(path):
    from mmdet.testing import demo_mm_inputs

    torch.manual_seed(0)
    cfg = shrink(load(path))
    model = MODELS.build(cfg.model)
    model.init_weights()
    # event frames come with time folded into channels
    time_steps = getattr(model.data_preprocessor, 'time_steps', 1)
    channels = time_steps * model.backbone.in_channels
    data = demo_mm_inputs(
        2,
        [(channels, 64, 96), (channels, 65, 97)],
        num_items=[2, 1],
        num_classes=2,
        with_mask='mask_head' in cfg.model.get('roi_head', {}),
    )
    batch = model.train().data_preprocessor(data, training=True)
    loss = model.parse_losses(model(**batch, mode='loss'))[0]
    assert torch.isfinite(loss) and loss > 0
    loss.backward()
    without_grad = [n for n, p in model.named_parameters() if p.grad is None]
    assert not without_grad
    with torch.no_grad():
        predictions = model.eval().test_step(data)
    assert len(predictions) == 2
    for sample in predictions:
        boxes = sample.pred_instances.bboxes
        assert boxes.shape[1] == 4 and torch.isfinite(boxes).all()


def decays(cfg: Config) -> set[float]:
    """Weight decays of the batch-norm parameters."""
    model = MODELS.build(shrink(cfg).model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters()
    }
    return {
        group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
        if id(parameter) in norms
    }


def test_norms_do_not_decay_unless_published():
    assert decays(load(ROOT / 'configs/det/meta_sdt_srb_coco.py')) == {0.0}
    published = load(ROOT / 'configs/det/meta_sdt_srb_coco_published.py')
    assert decays(published) == {0.05}


@pytest.mark.parametrize(
    'stem',
    ['meta_sdt_srb_coco', 'meta_sdt_srb_coco_published', 'meta_sdt_srb_retinanet_coco'],
)
def test_pipelines(stem, tmp_path):
    cfg = load(ROOT / 'configs/det' / f'{stem}.py')
    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), np.full((60, 90, 3), 127, np.uint8))
    item = dict(
        img_path=str(picture),
        img_id=0,
        height=60,
        width=90,
        instances=[
            dict(
                bbox=[10, 10, 50, 40],
                bbox_label=3,
                ignore_flag=0,
                mask=[[10, 10, 50, 10, 50, 40, 10, 40]],
            )
        ],
    )
    train = Compose(cfg.train_dataloader.dataset.pipeline)(item)
    while train is None:  # the crop may miss the object
        train = Compose(cfg.train_dataloader.dataset.pipeline)(item)
    assert 480 <= min(train['inputs'].shape[1:]) <= 800
    instances = train['data_samples'].gt_instances
    assert ('masks' in instances) == ('roi_head' in cfg.model)
    test = Compose(cfg.test_dataloader.dataset.pipeline)(item)
    assert test['inputs'].shape == (3, 800, 1200)
    if 'tta_pipeline' in cfg:
        views = Compose(cfg.tta_pipeline)(item)
        assert len(views['inputs']) == 3 * 2  # scales x flips


@pytest.mark.parametrize('folder', HOSTS)
def test_metafile_lists_every_config(folder):
    load_model_index = pytest.importorskip('modelindex').load_model_index
    paths = [path for path in CONFIGS if path.parent.name == folder]
    models = load_model_index.load(str(ROOT / 'model-index.yml')).models
    by_config = {model.config: model for model in models}
    assert len(by_config) == len(models)
    assert len({model.name for model in models}) == len(models)
    listed = [c for c in by_config if c.startswith(f'configs/{folder}/')]
    assert sorted(listed) == [f'configs/{name(path)}.py' for path in paths]
    for path in paths:
        with torch.device('meta'):
            model = MODELS.build(load(path).model)
        count = sum(p.numel() for p in model.parameters())
        metadata = by_config[f'configs/{name(path)}.py'].metadata
        assert metadata.parameters == count, path

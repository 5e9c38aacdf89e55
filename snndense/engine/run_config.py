"""What the flags of ``tools/train.py`` and ``tools/test.py`` do to a config."""

import logging
import os
import sys
from copy import deepcopy
from pathlib import Path

import torch.distributed
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook

from snndense.models.event_frames import reads_events

from .data_checks import inner_datasets
from .event_drawing import EVENT_HOOKS

AMP_DEVICES = ('cuda', 'npu', 'mlu', 'musa')  # those of mmengine's AmpOptimWrapper
CHECKPOINT_HOOKS = ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook)
FLIPS = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
TTA_MODELS = {
    'mmdet': dict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    ),
    'mmseg': dict(type='SegTTAModel'),
    'mmpretrain': dict(type='AverageClsScoreTTA'),
}


def set_work_dir(cfg: Config, work_dir: str | None, config_path: str) -> None:
    """Decide on ``work_dir``: the flag, else the config's, else the config's name."""
    default = cfg.get('work_dir') or f'./work_dirs/{Path(config_path).stem}'
    cfg.work_dir = work_dir or default


def different_keys(cfg: Config, path: str | Path) -> list[str]:
    """In which settings a config differs from the file ``path`` of an earlier run.

    Where a run resumes from (``load_from``, ``resume``) is no difference.
    """
    before, now = Config.fromfile(path).to_dict(), cfg.to_dict()
    return [
        key
        for key in {**before, **now}
        if key not in ('load_from', 'resume') and before.get(key) != now.get(key)
    ]


def enable_amp(cfg: Config) -> None:
    """Train with mixed precision.

    Raises:
        ValueError: If the optimizer wrapper is another than ``OptimWrapper``.
    """
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f"--amp replaces the optimizer wrapper 'OptimWrapper', but the config has "
            f'{wrapper!r}'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def check_amp(cfg: Config) -> None:
    """Make sure that a config which trains with mixed precision can do so here.

    Raises:
        ValueError: If the device cannot, or mmcv cannot pool the regions of a stock
            detector in bfloat16.
    """
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') != 'AmpOptimWrapper':
        return
    if get_device() not in AMP_DEVICES:
        raise ValueError(
            f'mixed precision needs one of the devices {AMP_DEVICES}, but this machine '
            f'trains on {get_device()!r}; leave --amp or AmpOptimWrapper out'
        )
    extractor = (cfg.model.get('roi_head') or {}).get('bbox_roi_extractor') or {}
    is_stock = extractor.get('type') == 'SingleRoIExtractor'
    if is_stock and optim_wrapper.get('dtype') == 'bfloat16':
        raise ValueError(
            "mmcv's RoIAlign has no bfloat16: leave optim_wrapper.dtype out, for "
            "float16, or take the extractor 'snndense.SpikeSingleRoIExtractor'"
        )


def enable_test_amp(cfg: Config) -> None:
    """Test with mixed precision.

    Raises:
        ValueError: For a detector on the CPU, where mmcv suppresses boxes in float32
            only.
    """
    if cfg.default_scope == 'mmdet' and get_device() not in AMP_DEVICES:
        raise ValueError(
            f'--amp of a detector needs one of the devices {AMP_DEVICES}, but this '
            f'machine tests on {get_device()!r}; leave --amp out'
        )
    cfg.test_cfg.fp16 = True


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate by the total batch size over the config's.

    Raises:
        ValueError: If the config does not tell the batch size that it is for.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '--auto-scale-lr needs the batch size that the learning rate of the '
            'config is for: set auto_scale_lr=dict(base_batch_size=16)'
        )
    cfg.auto_scale_lr.enable = True


def use_checkpoint_hook(cfg: Config) -> None:
    """Save with :class:`snndense.engine.CheckpointHook` where mmengine's would."""
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault('checkpoint', ConfigDict(interval=1))
    hook = cfg.default_hooks.checkpoint
    if hook is not None and hook.get('type', 'CheckpointHook') in CHECKPOINT_HOOKS:
        hook.type = 'snndense.CheckpointHook'


def disable_validation(cfg: Config) -> None:
    """Train without evaluating."""
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None


def set_dataloaders(
    cfg: Config, *, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Set what mmpretrain's own tools set in the data loaders of its configs.

    Configs of the other toolboxes say all of it themselves; only ``False`` arguments
    change them.
    """
    for phase in ('train', 'val', 'test'):
        dataloader = cfg.get(f'{phase}_dataloader')
        if dataloader is None:
            continue
        if cfg.default_scope == 'mmpretrain':
            dataloader.setdefault('pin_memory', True)
            dataloader.setdefault('collate_fn', dict(type='default_collate'))
            if dataloader.get('num_workers', 0) > 0:
                dataloader.setdefault('persistent_workers', True)
        if not pin_memory:
            dataloader.pin_memory = False
        if not persistent_workers:
            dataloader.persistent_workers = False


def set_launcher(cfg: Config, launcher: str) -> None:
    """Prepare a distributed run; on the CPU, what mmengine leaves out.

    mmengine expects a GPU per process. Without one, the processes are joined here
    through gloo, and the model is wrapped without a device.

    Raises:
        ValueError: If batch norms are to be synchronised without a GPU.
    """
    cfg.launcher = launcher
    if launcher != 'pytorch' or get_device() != 'cpu':
        return
    if cfg.get('sync_bn'):
        raise ValueError(
            f'batch norms are synchronised between GPUs only, but got sync_bn='
            f'{cfg.sync_bn!r} on the CPU; leave it out'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    wrapper['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
    wrapper.update(cfg.get('model_wrapper_cfg') or {})
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def end_distributed_run() -> None:
    """End a distributed run once all of its processes are here.

    On the CPU the process ends here, with exit status 0: threads of gloo now and then
    abort an interpreter that shuts down (`terminate called without an active
    exception`), when all results have been written.
    """
    if not torch.distributed.is_initialized():
        return
    torch.distributed.barrier()
    is_gloo = torch.distributed.get_backend() == 'gloo'
    torch.distributed.destroy_process_group()
    if is_gloo:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def enable_drawing(
    cfg: Config,
    *,
    show: bool,
    show_dir: str | None,
    wait_time: float = 2,
    interval: int = 1,
) -> None:
    """Draw predictions while testing.

    Args:
        cfg (Config): The config.
        show (bool): Whether to show them in a window.
        show_dir (str, optional): Folder for the pictures. Of detectors, a relative
            one is made under the work directory, as mmdet does.
        wait_time (float): Seconds that a window stays. Defaults to 2.
        interval (int): Every how many pictures. Defaults to 1.

    Raises:
        ValueError: If the config has no visualization hook.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show and --show-dir need a visualization hook in default_hooks of the '
            "config, such as visualization=dict(type='DetVisualizationHook')"
        )
    hook.show, hook.wait_time, hook.interval = show, wait_time, interval
    name = str(hook.get('type')).rpartition('.')[2]
    if name in EVENT_HOOKS and reads_events(cfg):
        hook.type = EVENT_HOOKS[name]
    if cfg.default_scope == 'mmpretrain':
        hook.enable, hook.out_dir = True, show_dir
        return
    hook.draw = True
    if show_dir is None:
        return
    if cfg.default_scope == 'mmdet':
        hook.test_out_dir = show_dir
    else:
        cfg.visualizer.save_dir = show_dir


def enable_tta(cfg: Config) -> None:
    """Test with augmentations, by default both flips.

    Raises:
        ValueError: If there is no default for the test pipeline of the config, or the
            toolbox cannot merge or draw what comes out.
    """
    heads = cfg.model.get('roi_head') or cfg.model
    if cfg.default_scope == 'mmdet' and heads.get('mask_head'):
        raise ValueError(
            '--tta: mmdet merges boxes but no masks; test without --tta, or give a '
            'config without a mask_head'
        )
    hook = (cfg.get('default_hooks') or {}).get('visualization') or {}
    if hook.get('enable'):  # mmpretrain's, and ours of events, draw batches of images
        raise ValueError(
            'the visualization hook of classifiers cannot draw with --tta: give '
            '--show-dir or --tta, not both'
        )
    tta_model = cfg.get('tta_model') or TTA_MODELS[cfg.default_scope]
    datasets = list(inner_datasets(cfg.test_dataloader))
    if cfg.get('tta_pipeline') is None:
        if cfg.default_scope == 'mmseg':
            raise ValueError(
                '--tta needs a tta_pipeline in the config, as in '
                'mmseg::_base_/datasets/ade20k.py'
            )
        print('No tta_pipeline in the config: testing with flips', flush=True)
        cfg.tta_pipeline = _flipped(datasets[0].pipeline)
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
    for dataset in datasets:
        dataset.pipeline = cfg.tta_pipeline


def _flipped(pipeline: list) -> list:
    """A test pipeline whose last step packs every image twice, once flipped."""
    pack = deepcopy(pipeline[-1])
    if pack.get('type') == 'PackDetInputs':
        needed = (
            *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            *('flip', 'flip_direction'),
        )
        own = [key for key in pack.get('meta_keys', ()) if key not in needed]
        pack.meta_keys = (*needed, *own)
    steps = deepcopy(list(pipeline[:-1]))
    return [*steps, dict(type='TestTimeAug', transforms=[FLIPS, [pack]])]

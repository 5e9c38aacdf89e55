"""Compose digit scenes, train a small spiking detector on them, show the result."""

import argparse
import os
import time
from pathlib import Path

# Read when torch is imported. Idle threads of GNU's OpenMP spin much longer by
# default; then a training on two cores becomes ten times slower as soon as anything
# else runs there. Alone on the machine, this short spinning is as fast.
os.environ.setdefault('GOMP_SPINCOUNT', '1000')

import mmcv
import torch
from matplotlib.figure import Figure
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from snndense.datasets import DigitScenesSettings, make_digit_scenes
from snndense.engine import resume, run_config
from snndense.engine.scalars import read_scalars
from snndense.utils import cli

ROOT = Path(__file__).parents[2]
PICTURE_SCALE = 4  # scenes are small, and drawn this many times larger
SCORE_THR = 0.3
METRICS = {'AP': 'mAP', 'AP50': 'mAP_50', 'AP75': 'mAP_75'}
KINDS = {'boxes': 'bbox', 'masks': 'segm'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__ + ' An interrupted run goes on where it was when the '
        'same command is given again. A GPU is used where there is one, unless '
        'CUDA_VISIBLE_DEVICES=-1 hides it.'
    )
    parser.add_argument(
        '--config',
        type=Path,
        default=ROOT / 'configs/det/meta_sdt_srb_digits.py',
        help='detector to train on the digit scenes (default: %(default)s)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of the results (default: work_dirs/demo, with --quick '
        'work_dirs/demo_quick)',
    )
    parser.add_argument(
        '--data-root',
        type=Path,
        help='folder of the digit scenes, composed if missing (default: '
        'data/digit_scenes, with --quick a small set in the work dir)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the training (default: 0)'
    )
    parser.add_argument(
        '--num-pictures',
        type=int,
        default=12,
        help='validation pictures to draw (default: 12)',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='take the same steps on a handful of scenes in about a minute, to see '
        'that everything works; the detector learns nothing',
    )
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path('work_dirs/demo_quick' if args.quick else 'work_dirs/demo')
    if args.data_root is None:
        small = args.work_dir / 'digit_scenes'
        args.data_root = small if args.quick else Path('data/digit_scenes')
    if args.num_pictures < 1:
        parser.error(f'expected --num-pictures >= 1, but got {args.num_pictures}')
    return args


def prepare_data(args: argparse.Namespace) -> None:
    settings = DigitScenesSettings()
    if args.quick:
        settings = DigitScenesSettings(num_train=8, num_val=4, tasks=('det',))
    try:
        made = make_digit_scenes(args.data_root, settings)
    except FileExistsError as error:
        raise FileExistsError(f'{error}. Here, --data-root stands for --out') from None
    print(f'digit scenes in {args.data_root}' + ('' if made else ' (already there)'))


def load_config(args: argparse.Namespace) -> Config:
    """The config with the folders and the seed of this run."""
    cfg = cli.read_config(str(args.config))
    coco = f'{args.data_root}/coco/'
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = coco
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].ann_file = f'{coco}annotations/instances_val.json'
    cfg.work_dir = str(args.work_dir)
    cfg.randomness = dict(seed=args.seed)
    run_config.use_checkpoint_hook(cfg)
    if args.quick:
        cfg.train_dataloader.batch_size = 2
        cfg.train_cfg.max_epochs = 2
        cfg.default_hooks.logger.interval = 1
    return cfg


def check_work_dir(cfg: Config, args: argparse.Namespace) -> None:
    """Keep the results of two configs or seeds apart.

    Raises:
        ValueError: If the run that started in the work dir had another config.
    """
    written = args.work_dir / args.config.name
    if not written.exists():
        return
    different = run_config.different_keys(cfg, written)
    if different:
        raise ValueError(
            f'{args.work_dir} holds a run whose config differs in '
            f'{", ".join(different)}; choose another --work-dir or remove that folder'
        )


def train(cfg: Config) -> Runner:
    """Train, or go on with an interrupted training; evaluate between epochs."""
    resume.set_resume(cfg, 'auto')
    runner = Runner.from_cfg(cfg)
    try:
        runner.train()
    except KeyboardInterrupt:
        raise SystemExit('\ninterrupted; the same command goes on from here') from None
    return runner


def plot(records: dict[int, dict], curves: dict[str, str], path: Path, **axes) -> None:
    """Draw the logged values ``curves`` (key to label) over their steps."""
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axis = figure.add_subplot()
    for key, label in curves.items():
        axis.plot(list(records), [r[key] for r in records.values()], '.-', label=label)
    axis.set(**axes)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def draw_predictions(runner: Runner, count: int, folder: Path) -> None:
    """Draw truth (left) and predictions (right) for the first validation pictures."""
    dataset = runner.val_dataloader.dataset
    visualizer = DetLocalVisualizer(alpha=0.5, line_width=2, text_color=(255, 255, 255))
    visualizer.dataset_meta = dataset.metainfo
    model = runner.model.eval()
    for index in range(min(count, len(dataset))):
        data = dataset[index]
        sample = data['data_samples']
        # masks and boxes are predicted for the enlarged picture, from the same pixels
        shape = tuple(PICTURE_SCALE * side for side in sample.ori_shape)
        scale = tuple(factor / PICTURE_SCALE for factor in sample.scale_factor)
        sample.set_metainfo(dict(ori_shape=shape, scale_factor=scale))
        sample.gt_instances.bboxes.rescale_((PICTURE_SCALE, PICTURE_SCALE))
        sample.gt_instances.masks = sample.gt_instances.masks.resize(shape)
        with torch.no_grad():
            (result,) = model.test_step(pseudo_collate([data]))
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        visualizer.add_datasample(
            'prediction',
            mmcv.imresize(image, shape[::-1], interpolation='bicubic'),
            result,
            pred_score_thr=SCORE_THR,
            out_file=str(folder / f'{Path(sample.img_path).stem}.png'),
        )


def print_table(metrics: dict) -> None:
    print('\n' + ' ' * 8 + ''.join(f'{name:>8}' for name in METRICS))
    for kind, prefix in KINDS.items():
        values = (metrics[f'coco/{prefix}_{key}'] for key in METRICS.values())
        print(f'{kind:8}' + ''.join(f'{value:8.3f}' for value in values))


def report(runner: Runner, args: argparse.Namespace) -> None:
    training, validation = read_scalars(args.work_dir)
    losses = [key for key in next(iter(training.values())) if key.startswith('loss')]
    plot(
        training,
        {key: key for key in losses},
        args.work_dir / 'loss.png',
        xlabel='iteration',
        ylim=(0, None),
    )
    plot(
        validation,
        {
            f'coco/{prefix}_{METRICS[name]}': f'{kind}, {name}'
            for kind, prefix in KINDS.items()
            for name in ('AP50', 'AP')
        },
        args.work_dir / 'ap.png',
        xlabel='epoch',
        ylim=(0, 1),
    )
    draw_predictions(runner, args.num_pictures, args.work_dir / 'predictions')
    print_table(list(validation.values())[-1])
    logs = sorted(args.work_dir.glob('*/*.log'))
    for what, where in (
        ('predictions', 'predictions/'),
        ('curves', 'loss.png, ap.png'),
        ('checkpoint', (args.work_dir / 'last_checkpoint').read_text().split('/')[-1]),
        ('log', logs[-1].relative_to(args.work_dir)),
    ):
        print(f'{what:12}{args.work_dir}/{where}')


def main() -> None:
    args = parse_args()
    started = time.monotonic()
    with cli.short_errors():
        prepare_data(args)
        cfg = load_config(args)
        check_work_dir(cfg, args)
    report(train(cfg), args)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f'{"time":12}{minutes} min {seconds} s')


if __name__ == '__main__':
    main()

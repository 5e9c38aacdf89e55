"""Look at the samples of a data set, as the pipeline hands them to the model."""

import argparse
from pathlib import Path

import cv2
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import ProgressBar

from snndense.engine.browsing import MODES, SampleDrawer, iterate_steps, select_steps
from snndense.engine.data_checks import build_datasets, check_paths
from snndense.utils import cli
from snndense.utils.files import check_new_folder, complete_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config(parser, 'train')
    parser.add_argument(
        '--output-dir', '-o', type=Path, help='new or empty folder for the pictures'
    )
    parser.add_argument('--not-show', action='store_true', help='do not open a window')
    parser.add_argument(
        '--phase',
        '-p',
        choices=('train', 'val', 'test'),
        default='train',
        help='which data set (default: %(default)s)',
    )
    parser.add_argument(
        '--show-number', '-n', type=int, help='number of samples (default: all)'
    )
    parser.add_argument(
        '--show-interval',
        '-i',
        type=float,
        default=2,
        help='seconds to show a sample (default: %(default)s)',
    )
    parser.add_argument(
        '--mode',
        '-m',
        choices=MODES,
        default='transformed',
        help='show samples as loaded, as the model gets them, both, or after every '
        'step of the pipeline (default: %(default)s)',
    )
    parser.add_argument(
        '--rescale-factor', '-r', type=float, help='enlarge or shrink the pictures'
    )
    parser.add_argument(
        '--channel-order',
        '-c',
        choices=('BGR', 'RGB'),
        default='BGR',
        help='of the images in the pipeline (default: %(default)s)',
    )
    return parser.parse_args()


def unused_path(folder: Path, image: str) -> Path:
    """A name like the image's; different images may have the same name."""
    path = folder / f'{Path(image).stem}.png'
    count = 1
    while path.exists():
        count += 1
        path = folder / f'{Path(image).stem}_{count}.png'
    return path


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        if args.not_show and args.output_dir is None:
            raise ValueError('with --not-show, --output-dir has to say where to draw')
        if args.output_dir is not None:
            check_new_folder(args.output_dir)
        cfg = cli.read_config(args.config, args.cfg_options)
        init_default_scope(cfg.default_scope)
        dataloader = cfg.get(f'{args.phase}_dataloader')
        if dataloader is None:
            raise ValueError(f'{args.config} has no {args.phase}_dataloader')
        for part in build_datasets(dataloader):
            check_paths(part, args.phase)
    dataset = DATASETS.build(dataloader.dataset)
    drawer = SampleDrawer(cfg.default_scope, dataset.metainfo, args.channel_order)
    progress = ProgressBar(min(args.show_number or len(dataset), len(dataset)))
    with cli.named_image_errors():
        for steps in iterate_steps(dataset, args.show_number):
            picture = drawer.draw(select_steps(steps, args.mode))
            if args.rescale_factor:
                factor = args.rescale_factor
                picture = cv2.resize(picture, None, fx=factor, fy=factor)
            image = steps[-1].data.get('img_path', 'sample')
            if args.output_dir is not None:
                with complete_file(unused_path(args.output_dir, image)) as path:
                    cv2.imwrite(str(path), picture[..., ::-1])
            if not args.not_show:
                drawer.visualizer.show(
                    picture, Path(image).name, wait_time=args.show_interval
                )
            progress.update()
    print()


if __name__ == '__main__':
    main()

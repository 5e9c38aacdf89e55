"""Predict for images: draw the results and write them as JSON."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from mmengine.device import get_device
from mmengine.utils import ProgressBar

from snndense.engine.data_checks import find_damage
from snndense.engine.predictors import PREDICTORS, Predictor, write_prediction
from snndense.engine.preflight import check_model
from snndense.models.event_frames import check_reads_pictures
from snndense.studies.measuring import check_device, find_images
from snndense.utils import cli
from snndense.utils.files import check_new_folder


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f'{__doc__} For every image NAME, OUT_DIR/vis/NAME.png shows the '
        'result and OUT_DIR/preds/NAME.json holds it: boxes, labels, scores and masks '
        '(run-length encoded) of a detector; the name of a picture with the class of '
        'every pixel of a segmentor; the most likely classes of a classifier. Images '
        'that cannot be read are named at the end, and the exit status is 1.'
    )
    parser.add_argument('inputs', help='image, folder of images, or quoted pattern')
    cli.add_config(parser, 'test')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/predict'),
        help='new or empty folder for the results (default: %(default)s)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='leave out detections with a lower score (default: %(default)s)',
    )
    parser.add_argument(
        '--top-k',
        type=int,
        default=5,
        help='classes to list for a classified image (default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='images at a time (default: %(default)s)',
    )
    cli.add_device(parser)
    return parser.parse_args()


def output_names(images: list[str]) -> dict[str, str]:
    """Names of the results: those of the images, with their suffix where needed."""
    stems = Counter(Path(image).stem for image in images)
    names = {
        image: Path(image).stem if stems[Path(image).stem] == 1 else Path(image).name
        for image in images
    }
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ValueError(
            f'several images are called {twice[0]}, and so would their results be; '
            'predict for their folders one at a time'
        )
    return names


def predict(
    predictor: Predictor, names: dict[str, str], args: argparse.Namespace
) -> dict[str, str]:
    """Predict and write results, image by image.

    Returns:
        dict: Images that cannot be read, and why.
    """
    unreadable, batch = {}, []
    progress = ProgressBar(len(names), file=sys.stderr)
    for index, image in enumerate(names, start=1):
        if damage := find_damage(image, thorough=True):
            unreadable[image] = damage
        else:
            batch.append(image)
        if len(batch) == args.batch_size or (batch and index == len(names)):
            for path, sample in zip(batch, predictor.predict(batch), strict=True):
                write_prediction(predictor, sample, path, args.out_dir, names[path])
            batch = []
        progress.update()
    print(file=sys.stderr)
    return unreadable


def main() -> int:
    args = parse_args()
    with cli.short_errors():
        if args.batch_size < 1 or args.top_k < 1:
            raise ValueError('expected --batch-size and --top-k to be at least 1')
        names = output_names(find_images(args.inputs))
        check_new_folder(args.out_dir)
        device = args.device or get_device()
        check_device(device)
        cfg = cli.read_config(args.config, args.cfg_options)
        check_reads_pictures(cfg)
        check_model(cfg, [], args.checkpoint, with_init_cfg=False)
    predictor = PREDICTORS[cfg.default_scope](
        cfg, args.checkpoint, device, score_thr=args.score_thr, top_k=args.top_k
    )
    unreadable = predict(predictor, names, args)
    print(f'{len(names) - len(unreadable)} of {len(names)} results in {args.out_dir}')
    for image, reason in unreadable.items():
        print(f'error: {image} cannot be read: {reason}', file=sys.stderr)
    return int(bool(unreadable))


if __name__ == '__main__':
    sys.exit(main())

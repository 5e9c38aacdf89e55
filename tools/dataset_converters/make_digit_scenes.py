"""Compose the digit scenes: detection, segmentation and classification."""

import argparse
import time

from snndense.datasets.digit_scenes import (
    TASKS,
    DigitScenesSettings,
    make_digit_scenes,
)
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    default = DigitScenesSettings()
    parser = argparse.ArgumentParser(
        description=__doc__
        + ' The digits are the handwritten ones bundled with scikit-learn; nothing '
        'is downloaded. A set that is already there with the same settings is left '
        'as it is.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', default='data/digit_scenes', help='folder to make')
    parser.add_argument(
        '--num-train',
        type=int,
        default=default.num_train,
        help='training scenes',
    )
    parser.add_argument(
        '--num-val',
        type=int,
        default=default.num_val,
        help='validation scenes',
    )
    parser.add_argument(
        '--singles-per-scene',
        type=int,
        default=default.singles_per_scene,
        help='pictures of a single digit, for classification, per scene',
    )
    parser.add_argument(
        '--image-size', type=int, default=default.image_size, help='height and width'
    )
    parser.add_argument(
        '--max-digits', type=int, default=default.max_digits, help='digits per scene'
    )
    parser.add_argument('--seed', type=int, default=default.seed, help='random seed')
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=TASKS,
        default=list(TASKS),
        help='det: COCO instances, seg: ADE20K label PNGs, cls: class folders',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a set that was made with other settings',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    started = time.monotonic()
    with cli.short_errors():
        settings = DigitScenesSettings(
            num_train=args.num_train,
            num_val=args.num_val,
            singles_per_scene=args.singles_per_scene,
            image_size=args.image_size,
            max_digits=args.max_digits,
            seed=args.seed,
            tasks=tuple(args.tasks),
        )
        made = make_digit_scenes(args.out, settings, overwrite=args.overwrite)
    if made:
        print(f'{args.out} is complete ({time.monotonic() - started:.0f} s)')
    else:
        print(f'{args.out} is already there, made with the same settings')


if __name__ == '__main__':
    main()

"""What a run has logged."""

import json
from pathlib import Path


def read_scalars(work_dir: str | Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Losses and metrics that were logged in a work directory.

    Of an interrupted and resumed run, all parts are read; what was done twice counts
    as done the second time.

    Args:
        work_dir (str | Path): Folder of the run.

    Returns:
        tuple: Records of the training by iteration, and of the validation by epoch
        (by iteration where the logger hook has ``log_metric_by_epoch=False``).
    """
    training, validation = {}, {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # cut off when the process was killed
                continue
            records = training if 'loss' in record else validation
            records[record['step']] = record
    return dict(sorted(training.items())), dict(sorted(validation.items()))

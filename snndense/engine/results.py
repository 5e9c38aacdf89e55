"""Predictions and metrics of a test, in files that are complete or absent."""

from contextlib import nullcontext
from pathlib import Path

import mmengine
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from snndense.utils.files import (
    check_new_folder,
    complete_file,
    complete_folder,
    unfinished_path,
)

OUT_ITEMS = ('pred', 'metrics')
PICKLES = ('.pkl', '.pickle')
METRIC_FILES = ('.json', '.yml', '.yaml', *PICKLES)


def check_out(out: str, scope: str, item: str = 'pred') -> None:
    """Make sure that results can be written to ``out``.

    Args:
        out (str): File; for predictions of a segmentor, a folder.
        scope (str): ``default_scope`` of the config.
        item (str): ``'pred'`` or ``'metrics'``. Defaults to ``'pred'``.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the file has a suffix of another format.
    """
    if scope == 'mmseg' and item == 'pred':
        check_new_folder(out)
        return
    suffixes = METRIC_FILES if item == 'metrics' else PICKLES
    if Path(out).suffix not in suffixes:
        raise ValueError(f'expected --out to end with one of {suffixes}, but got {out}')


def run_test(
    runner: Runner, scope: str, out: str | None = None, item: str = 'pred'
) -> dict:
    """Test and write the results.

    Args:
        runner (Runner): Built from the config.
        scope (str): ``default_scope`` of the config.
        out (str, optional): See :func:`check_out`; None writes nothing.
        item (str): ``'pred'`` or ``'metrics'``. Defaults to ``'pred'``.

    Returns:
        dict: The metrics.
    """
    if out is None:
        return runner.test()
    in_folder = scope == 'mmseg' and item == 'pred'
    writing = complete_folder if in_folder else complete_file
    # all processes write pictures; the first one makes the folder and renames it
    context = writing(out) if is_main_process() else nullcontext(unfinished_path(out))
    with context as path:
        barrier()
        if item == 'pred':
            _add_output(runner, scope, str(path))
        metrics = runner.test()
        if item == 'metrics' and is_main_process():
            mmengine.dump(metrics, path)
        barrier()
    if is_main_process():
        print(f'The results are in {out}', flush=True)
    return metrics


def _add_output(runner: Runner, scope: str, path: str) -> None:
    metrics = runner.test_evaluator.metrics
    if scope == 'mmdet':
        from mmdet.evaluation import DumpDetResults

        metrics.append(DumpDetResults(out_file_path=path))
    elif scope == 'mmpretrain':
        metrics.append(DumpResults(out_file_path=path))
    else:
        writers = [metric for metric in metrics if hasattr(metric, 'output_dir')]
        if not writers:
            raise ValueError(
                '--out needs a metric that writes label pictures, such as '
                "test_evaluator=dict(type='IoUMetric')"
            )
        writers[0].output_dir = path

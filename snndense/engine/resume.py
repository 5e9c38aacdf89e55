"""Which checkpoint a killed training goes on from."""

import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from snndense.checkpoints.reading import read_checkpoint

MARKER = 'last_checkpoint'  # mmengine's note of the checkpoint saved last
RESUMABLE_KEYS = ('meta', 'state_dict', 'message_hub')


def checkpoint_folder(cfg: Config) -> Path:
    """Where the checkpoint hook of a config writes."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    work_dir = Path(cfg.work_dir)
    return Path(hook.out_dir, work_dir.name) if hook.get('out_dir') else work_dir


def _steps(folder: Path, template: str | None) -> dict[Path, int]:
    """Checkpoints of a folder and the epochs or iterations in their names."""
    name = re.escape(template).replace(r'\{\}', r'(\d+)') if template else ''
    pattern = re.compile(name or r'(?:epoch|iter)_(\d+)\.pth')
    found = {}
    for path in folder.glob('*') if folder.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            found[path] = int(match[1])
    return found


def _newest_first(cfg: Config) -> list[Path]:
    """Checkpoints in the order in which to try them.

    The one that mmengine noted comes first, unless a later one was completed just
    before the process died. A note may be empty (killed while writing it), and may
    name a folder that has been moved since.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = checkpoint_folder(cfg)
    steps = _steps(folder, hook.get('filename_tmpl'))
    marker = Path(cfg.work_dir, MARKER)
    noted = folder / Path(marker.read_text().strip()).name if marker.exists() else None
    noted_step = steps.get(noted, -1)
    written = {path: path.stat().st_mtime_ns for path in steps}
    noted_at = marker.stat().st_mtime_ns if noted_step >= 0 else 0

    def recency(path: Path) -> tuple:
        # a copied folder may have lost the times: then the names decide
        is_later = written[path] > noted_at and steps[path] > noted_step
        return is_later, path == noted, written[path], steps[path]

    return sorted(steps, key=recency, reverse=True)


def _resumable(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            keys = read_checkpoint(path).keys()
        except ValueError as error:
            print(f'warning: skipped, {error}', flush=True)
            continue
        if absent := [key for key in RESUMABLE_KEYS if key not in keys]:
            what = ', '.join(absent)
            print(
                f'warning: skipped, {path} holds no {what} to resume from', flush=True
            )
            continue
        yield path


def find_resumable(cfg: Config) -> str | None:
    """The newest checkpoint in the work directory of a config that can be read.

    What cannot be read (truncated, damaged) or is no training checkpoint is skipped
    with a warning that names it.

    Args:
        cfg (Config): With ``work_dir``.

    Returns:
        str | None: Path of the checkpoint, None if there is none.

    Raises:
        ValueError: If there are checkpoints but none of them can be resumed from: a
            new training would replace them.
    """
    candidates = _newest_first(cfg)
    found = next(_resumable(candidates), None)
    if candidates and found is None:
        raise ValueError(
            f'none of the {len(candidates)} checkpoints in {checkpoint_folder(cfg)} '
            'can be resumed from (see above); remove them to start from the beginning'
        )
    return None if found is None else str(found)


def set_resume(cfg: Config, resume: str | None) -> None:
    """Set ``resume`` and ``load_from`` of a config as ``--resume`` asks.

    Without any checkpoint to go on from, a training that was to go on starts from
    the beginning, with ``load_from`` of the config if it has one.

    Args:
        cfg (Config): With ``work_dir``.
        resume (str, optional): Path of a checkpoint; ``'auto'`` for the newest in the
            work directory, as ``resume=True`` in the config without ``load_from``.
    """
    if resume is None and cfg.get('resume') and cfg.get('load_from') is None:
        resume = 'auto'
    if resume is None:
        return
    path = find_resumable(cfg) if resume == 'auto' else resume
    if path is None:
        print(
            f'No checkpoint to resume from in {checkpoint_folder(cfg)}: the training '
            'starts from the beginning',
            flush=True,
        )
        cfg.resume = False
        return
    cfg.resume, cfg.load_from = True, path

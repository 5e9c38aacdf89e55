"""Checkpoints that survive a kill at any moment."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from snndense.registry import HOOKS
from snndense.utils.files import UNFINISHED, complete_file

COMPLETE_BACKEND = 'snndense_local'


@register_backend(COMPLETE_BACKEND)
class CompleteFileBackend(LocalBackend):
    """mmengine's backend for local files, whose files are complete or absent."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` under a temporary name, flush it to the disk and rename."""
        with complete_file(filepath) as path:
            path.write_bytes(obj)


class _RemoveLater:
    """A file backend whose removals wait for :meth:`run`."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._removals: list[tuple[Callable, str]] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, filepath: str) -> None:
        self._removals.append((self._backend.remove, filepath))

    def rmtree(self, dir_path: str) -> None:
        self._removals.append((self._backend.rmtree, dir_path))

    def run(self, in_use: set[str | None]) -> None:
        for remove, path in self._removals:
            if path not in in_use and self._backend.exists(path):
                remove(path)


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's ``CheckpointHook``, safe against being killed at any moment.

    Differences: a checkpoint is written under a temporary name, flushed to the disk
    and renamed, so that a file with a checkpoint's name is complete; and what
    ``max_keep_ckpts`` and ``save_best`` replace is removed after its successor is
    complete, not before. ``tools/train.py`` puts it in the place of the original in
    every config, and resumes from the newest checkpoint that can be read.

    Args:
        **kwargs: Those of :class:`mmengine.hooks.CheckpointHook`. With another
            ``backend_args`` than the default, its backend writes the files.
    """

    def before_train(self, runner: Runner) -> None:
        is_local = '://' not in str(self.out_dir or runner.work_dir)
        if is_local and not self.backend_args and not self.file_client_args:
            self.backend_args = dict(backend=COMPLETE_BACKEND)
        super().before_train(runner)
        if is_local:
            self._remove_unfinished(Path(self.out_dir))

    @staticmethod
    @master_only
    def _remove_unfinished(folder: Path) -> None:
        for path in folder.glob(f'.*{UNFINISHED}.*'):
            path.unlink(missing_ok=True)

    @contextmanager
    def _removing_afterwards(self):
        backend = self.file_backend
        if isinstance(backend, _RemoveLater):  # saving the last while saving the best
            yield
            return
        self.file_backend = _RemoveLater(backend)
        try:
            yield
            best = getattr(self, 'best_ckpt_path_dict', {}).values()
            self.file_backend.run(
                {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
            )
        finally:
            self.file_backend = backend

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._removing_afterwards():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._removing_afterwards():
            super()._save_best_checkpoint(runner, metrics)

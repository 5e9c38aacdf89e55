"""What the metafiles of the configs say: models, their numbers, published weights."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from mmengine.fileio import load

PACKAGE = Path(__file__).parents[1]
TASKS = dict(cls='classification', det='detection', seg='segmentation')
#: Where a number is from: as published; published weights, evaluated here; ours.
STATUSES = ('paper', 'converted', 'trained here')


@dataclass(frozen=True)
class Result:
    """A reported accuracy.

    Attributes:
        task (str): Task as OpenMMLab's metafiles name it.
        dataset (str): Data set.
        metrics (dict[str, float]): Values in percent, by metric.
        status (str): One of ``STATUSES``.
        source (str): Where the numbers stand.
    """

    task: str
    dataset: str
    metrics: dict[str, float]
    status: str
    source: str

    def __str__(self) -> str:
        values = ', '.join(f'{name} {value}' for name, value in self.metrics.items())
        return f'{self.dataset} {values}'


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that the authors of a model have published; unknown fields are empty.

    Attributes:
        weights (str): Address of the file or of its folder, as the authors state it.
        stated_in (str): Where they state it.
        code (str): Their repository.
        file_names (tuple[str]): Names of the file.
        file_names_from (str): Who uses these names.
        sha256 (str): Hash of the file.
        sha256_from (str): Who states the hash.
        backbone (dict): Constructor arguments of the backbone, with ``type``.
        traps (tuple[str]): What to look out for.
    """

    weights: str
    stated_in: str
    code: str
    file_names: tuple[str, ...]
    file_names_from: str
    sha256: str
    sha256_from: str
    backbone: dict
    traps: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A config of the zoo, with everything that is known about its model.

    Attributes:
        name (str): Long OpenMMLab name.
        config (str): Config file, relative to the root of the configs.
        family (str): Collection that the model belongs to.
        paper (dict): ``Title`` and ``URL`` of the family's paper.
        parameters (int): Parameters of the whole model.
        macs (int, optional): Multiply-accumulates of one time step for one picture, of
            the size that the test pipeline of the config makes.
        training (dict): Data set, length and batch size of the training.
        results (tuple[Result]): Reported numbers.
        published (PublishedWeights, optional): Weights of the authors, if any.
        traps (tuple[str]): What to look out for in weights of this family.
    """

    name: str
    config: str
    family: str
    paper: dict
    parameters: int
    macs: int | None
    training: dict
    results: tuple[Result, ...]
    published: PublishedWeights | None
    traps: tuple[str, ...]

    @property
    def task(self) -> str:
        """``'cls'``, ``'det'`` or ``'seg'``."""
        return Path(self.config).parent.name

    @property
    def stem(self) -> str:
        """Name of the config file without folder and suffix."""
        return Path(self.config).stem

    @property
    def config_path(self) -> Path:
        return zoo_root() / self.config


@cache
def zoo_root() -> Path:
    """Folder with ``model-index.yml`` and ``configs/``.

    An installed package has it in ``.mim``, a checkout at its top.

    Raises:
        FileNotFoundError: If neither is there.
    """
    for folder in (PACKAGE.parent, PACKAGE / '.mim'):
        if (folder / 'model-index.yml').is_file() and (folder / 'configs').is_dir():
            return folder
    raise FileNotFoundError(
        f'expected model-index.yml and configs/ in {PACKAGE / ".mim"}: install the '
        'package with `pip install .` in a checkout'
    )


def _published(data: dict | None) -> PublishedWeights | None:
    if data is None:
        return None
    return PublishedWeights(
        weights=data.get('Weights', ''),
        stated_in=data.get('Stated In', ''),
        code=data.get('Code', ''),
        file_names=tuple(data.get('File Names', ())),
        file_names_from=data.get('File Names From', ''),
        sha256=data.get('SHA256', ''),
        sha256_from=data.get('SHA256 From', ''),
        backbone=data['Backbone'],
        traps=tuple(data.get('Traps', ())),
    )


def _result(name: str, data: dict) -> Result:
    fields = ('Task', 'Dataset', 'Metrics', 'Status', 'Source')
    if set(data) != set(fields):
        raise ValueError(
            f'expected a result of {name} to have {fields}, but got {data}'
        )
    return Result(**{field.lower(): data[field] for field in fields})


def _entry(data: dict, collection: dict) -> Entry:
    training = dict(data['Metadata'])
    return Entry(
        name=data['Name'],
        config=data['Config'],
        family=data['In Collection'],
        paper=collection['Paper'],
        parameters=training.pop('Parameters'),
        macs=training.pop('MACs', None),
        training=training,
        results=tuple(
            _result(data['Name'], result) for result in data.get('Results', ())
        ),
        published=_published(data.get('Converted From')),
        traps=tuple(collection.get('Traps', ())),
    )


@cache
def load_zoo() -> tuple[Entry, ...]:
    """All entries, in the order of the metafiles.

    Raises:
        FileNotFoundError: If the metafiles are not there.
    """
    paths = load(zoo_root() / 'model-index.yml')['Import']
    files = [load(zoo_root() / path) for path in paths]
    collections = {
        collection['Name']: collection
        for file in files
        for collection in file.get('Collections', ())
    }
    return tuple(
        _entry(model, collections[model['In Collection']])
        for file in files
        for model in file['Models']
    )


def plain(text: str) -> str:
    """A name in small letters, without punctuation, for comparisons."""
    return re.sub(r'[^a-z0-9*?]', '', text.lower())


def select(
    pattern: str | None = None,
    *,
    task: str | None = None,
    family: str | None = None,
    status: str | None = None,
    published: bool = False,
) -> list[Entry]:
    """Entries that satisfy all given conditions, sorted by task and config.

    Args:
        pattern (str, optional): Shell pattern for the long name or the config's, such
            as ``'*srb*'``.
        task (str, optional): ``'cls'``, ``'det'`` or ``'seg'``.
        family (str, optional): Start of the family's name; case and punctuation do
            not matter.
        status (str, optional): Provenance of a number that the entry has, one of
            ``STATUSES``.
        published (bool): Only entries with published weights. Defaults to False.

    Raises:
        ValueError: For an unknown task, family or status.
    """
    check_task(task)
    families = sorted({entry.family for entry in load_zoo()})
    if family is not None and not any(_in_family(name, family) for name in families):
        raise ValueError(f'expected a family of {families}, but got {family!r}')
    if status is not None and status not in STATUSES:
        raise ValueError(f'expected status in {STATUSES}, but got {status!r}')
    found = [
        entry
        for entry in load_zoo()
        if (task is None or entry.task == task)
        and (family is None or _in_family(entry.family, family))
        and (status is None or status in {r.status for r in entry.results})
        and (not published or entry.published is not None)
        and (pattern is None or matches((entry.name, entry.stem), pattern))
    ]
    return sorted(found, key=lambda entry: (entry.task, entry.stem))


def check_task(task: str | None) -> None:
    if task is not None and task not in TASKS:
        raise ValueError(f'expected task in {tuple(TASKS)} or None, but got {task!r}')


def _in_family(name: str, wanted: str) -> bool:
    return plain(name).startswith(plain(wanted))


def matches(names: Iterable[str], pattern: str) -> bool:
    """Whether a shell pattern fits one of the names, whatever their case."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def find_entry(name: str, task: str | None = None, others: Iterable[str] = ()) -> Entry:
    """The entry of a long name, of a config's name, or of a config's path.

    Args:
        name (str): Such as ``'meta_sdt_srb_coco'``, with ``'det/'`` in front where
            several tasks have a config of the same name.
        task (str, optional): ``'cls'``, ``'det'`` or ``'seg'``, which the entry has to
            be for.
        others (Iterable[str]): Names of other things, to be mentioned if they are
            similar to a name that is unknown.

    Raises:
        ValueError: If there is none, or more than one.
    """
    path = name.removesuffix('.py').removeprefix('configs/')
    found = [
        entry
        for entry in load_zoo()
        if name == entry.name or path in (entry.stem, f'{entry.task}/{entry.stem}')
    ]
    if not found:
        tasks = (task,) if task else tuple(TASKS)
        entries = [entry for entry in load_zoo() if entry.task in tasks]
        names = [known for entry in entries for known in (entry.stem, entry.name)]
        raise ValueError(unknown_name(name, [*others, *names]))
    of_task = [entry for entry in found if task in (None, entry.task)]
    if not of_task:
        raise ValueError(
            f'{name} is a config for {TASKS[found[0].task]} (task={found[0].task!r}), '
            f'but got {task=}'
        )
    if len(of_task) > 1:
        names = ', '.join(f'{entry.task}/{entry.stem}' for entry in of_task)
        raise ValueError(f'several configs are called {name}; name one of {names}')
    return of_task[0]


def unknown_name(name: str, names: Iterable[str]) -> str:
    """The message for a name that does not exist, with the most similar ones."""
    by_plain = {plain(candidate): candidate for candidate in names}
    similar = difflib.get_close_matches(plain(name), by_plain, n=5, cutoff=0.5)
    hint = ', '.join(by_plain[plain] for plain in similar)
    return f'unknown model {name!r}' + (f'; similar names: {hint}' if hint else '')

"""Keys and shapes of published full-size models, and the models they belong to here."""

from dataclasses import dataclass
from pathlib import Path

import torch

from snndense.checkpoints.recognition import check_parts, count_parameters, recognise

from .report import Report


@dataclass
class KeyListReport(Report):
    """As :class:`Report`, of a key list that belongs to a model of this package.

    Attributes:
        model (str): The model.
        num_keys (int): Keys that have their place in it.
        num_unread (int): Published keys that nothing reads.
    """

    model: str
    num_keys: int
    num_unread: int

    def summary(self) -> str:
        unread = f', {self.num_unread} that nothing reads' if self.num_unread else ''
        return f'{self.model}, {self.num_keys} keys{unread}'


def check_key_list(path: str | Path, data: dict) -> KeyListReport:
    """Find the model of a published key list: every key must have its place there.

    Args:
        path (str | Path): The file, for messages.
        data (dict): Its contents: ``state_dict``, a list of ``[key, shape, dtype]``,
            and ``params``, the number of parameters upstream.

    Raises:
        ImportError: If the toolbox of its neck and heads is not installed.
        ValueError: If there is no such list, its model is not known here, or keys and
            shapes do not fit it.
    """
    name = Path(path).stem
    if not {'state_dict', 'params'} <= data.keys():
        raise ValueError(
            f'{path} is neither recorded numbers (format) nor a list of keys '
            '(state_dict, params)'
        )
    keys = [key for key, *_ in data['state_dict']]
    if any('head.' in key for key in keys) and all(
        'head' in k or 'neck' in k for k in keys
    ):
        raise ValueError(
            f'{path} lists neck and heads without the backbone they are of'
        )
    with torch.device('meta'):
        weights = {key: torch.empty(shape) for key, shape, _ in data['state_dict']}
    try:
        published = recognise(weights)
        report = check_parts(published)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    unread = {key: weights[key] for key in published.unread}
    found, expected = published.num_params + count_parameters(unread), data['params']
    failures = [] if found == expected else [f'{found} parameters, not {expected}']
    return KeyListReport(
        name, str(published), len(report.matched), len(unread), failures=failures
    )

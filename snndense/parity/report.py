"""What a comparison with a recorded file found."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

MOST_SHOWN = 3


@dataclass
class Report(ABC):
    """What a comparison found.

    Attributes:
        name (str): Name of the file.
        failures (list[str]): What was out of tolerance or missing.
    """

    name: str
    failures: list[str] = field(default_factory=list, kw_only=True)

    @property
    def passed(self) -> bool:
        return not self.failures

    @abstractmethod
    def summary(self) -> str:
        """What was compared, and how well it agrees."""

    def __str__(self) -> str:
        status = 'ok  ' if self.passed else 'FAIL'
        line = f'{status} {self.name}: {self.summary()}'
        return '; '.join([line, *self.failures[:MOST_SHOWN]])

"""What evaluators share that can measure a large split in parts, the first of which may be enough.

Each part has every label in the same share, so that the numbers of one are those of the whole but
for chance, and those of all parts together are those of the whole. Knows nothing of how items are
measured.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from evaluators.base import Artifact, Evaluator, Json, Measurement
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value

MOST_PARTS = 4
LEAST_ITEMS = 200
"""A part has at least so many: 95 % intervals of a share are then +-7 points wide at most."""


@dataclass(frozen=True, slots=True)
class SplitPart:
    """One of `of` parts of a split's items, counted from 0."""

    number: int
    of: int

    @classmethod
    def of_process(cls, process: int, parts: int) -> Self:
        """The part that a process measures: so many numbers in a row have them all."""
        return cls(process % parts, parts)

    @classmethod
    def of_measurement(cls, measurement: Measurement) -> Self:
        """The part that was measured; the whole where a measurement does not say."""
        return cls(**measurement.conditions.get("part", {"number": 0, "of": 1}))

    def to_json(self) -> dict[str, Any]:
        """What a measurement's conditions say of it."""
        return asdict(self)

    def choose(self, labels: Sequence[str]) -> list[int]:
        """The positions of its items, in order, among items with these labels.

        Items of one label are dealt out in turn: no two parts differ by more than one, neither in
        all nor in a label.
        """
        by_label = sorted(range(len(labels)), key=labels.__getitem__)
        return sorted(by_label[self.number :: self.of])


WHOLE = SplitPart(0, 1)


class EvaluatorInParts(Evaluator):
    """Measures each part of a large split in a process of its own.

    `summarise` and `paired` take the parts that are there. More processes than parts tell nothing.
    """

    def parts(self, options: Mapping[str, Value], items: int) -> int:
        """In how many parts a split of so many rows is measured; 1: it is small."""
        return max(1, min(MOST_PARTS, items // LEAST_ITEMS))

    @abstractmethod
    def measure_part(
        self,
        part: SplitPart,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
    ) -> Measurement:
        """As `measure`, for a part of the split. Its conditions say which, unless it is `WHOLE`."""

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Measure the whole split."""
        return self.measure_part(WHOLE, model, options, data, split)


def parts_of(evaluator: Evaluator, options: Mapping[str, Value], items: int) -> int:
    """In how many parts an evaluator measures a split of so many rows; 1: as a whole."""
    return evaluator.parts(options, items) if isinstance(evaluator, EvaluatorInParts) else 1


def pooled(measurements: Sequence[Measurement]) -> list[Json]:
    """The items of all parts that are there, one part after the other."""
    return [item for measurement in measurements for item in measurement.items]


def all_there(measurements: Sequence[Measurement]) -> bool:
    """Whether these are all parts of a split."""
    found = {SplitPart.of_measurement(measurement) for measurement in measurements}
    return len(found) == max((part.of for part in found), default=1)


def same_items(
    measurements: Sequence[Measurement], others: Sequence[Measurement]
) -> tuple[list[Json], list[Json]] | None:
    """What two models did on the items that both were measured on, in the same order.

    None where there are none, or where the items cannot be the same.
    """
    ours, theirs = (
        {SplitPart.of_measurement(m): m.items for m in found} for found in (measurements, others)
    )
    both = [part for part in ours if part in theirs]
    if not both or any(len(ours[part]) != len(theirs[part]) for part in both):
        return None
    first, second = ([item for part in both for item in found[part]] for found in (ours, theirs))
    return first, second

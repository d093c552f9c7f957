"""Optimisation profiles: for which batches and lengths an engine is built, read from its configuration.

    profile: [ "0" ]        one for all: batches 1 to max_batch_size, tuned for the largest preferred one
    profile: [ "0", "1" ]   0 is for a batch of one only, 1 is as above
    profile: [ "0", .. ]    with n of them, those after 0 are tuned for the n - 1 largest preferred batches

All but 0 reach from 1 to max_batch_size, so that whichever Triton picks by its distance fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from export.contract import Contract, Tensor


@dataclass(frozen=True)
class Range:
    """How large an axis may be and which size it is tuned for: 1 <= minimum <= optimum <= maximum."""

    minimum: int
    optimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise ValueError(f"range: expected 1 <= minimum <= optimum <= maximum, got {self}")

    def __contains__(self, size: int) -> bool:
        return self.minimum <= size <= self.maximum

    def __str__(self) -> str:
        return f"{self.minimum}-{self.optimum}-{self.maximum}"


# Free axes, by the beginning of the input's name: what a decoder looks at, and tokens of any text.
# 64 tokens are over twice the longest question; 512 is where the positions of every text model here end.
LENGTHS: dict[str, Range] = {"encoder_": Range(1, 64, 512), "": Range(1, 16, 64)}


@dataclass(frozen=True)
class Profile:
    """Sizes of one profile: of the batch, and of free axes by the beginning of the input's name."""

    batch: Range
    lengths: tuple[tuple[str, Range], ...] = ()

    def shapes(self, tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Shapes (batch, *dims) of an input: the smallest, the one that is tuned for, the largest."""
        lengths = [self._length(tensor.name) if dim == -1 else Range(dim, dim, dim) for dim in tensor.dims]
        axes = [self.batch, *lengths]
        return (
            tuple(axis.minimum for axis in axes),
            tuple(axis.optimum for axis in axes),
            tuple(axis.maximum for axis in axes),
        )

    def _length(self, name: str) -> Range:
        for beginning, length in self.lengths:
            if name.startswith(beginning):
                return length
        raise LookupError(f"{name}: expected a length for its free axis, got none; add it to LENGTHS")


def profiles(contract: Contract, lengths: Mapping[str, Range] | None = None) -> tuple[Profile, ...]:
    """The profiles of a model, in their order; one for a configuration that names none.

    lengths: of free axes, instead of LENGTHS
    errors: ValueError for names other than "0", "1", .., or more of them than batches to tune for
    """
    names = contract.profiles or ("0",)
    if names != tuple(map(str, range(len(names)))):
        raise ValueError(
            f'{contract.name}: expected the profiles "0", "1", .. in order, got {", ".join(names)}; '
            "mend its instance_group"
        )
    preferred = contract.preferred or (contract.max_batch,)
    tuned = preferred[-1:] if len(names) == 1 else (1, *preferred[1 - len(names) :])
    if len(tuned) != len(names):
        raise ValueError(
            f"{contract.name}: expected at most {len(preferred) + 1} profiles for preferred batches of "
            f"{', '.join(map(str, preferred))}, got {len(names)}; name fewer or prefer more"
        )
    free = tuple((LENGTHS if lengths is None else lengths).items()) if _has_free_axis(contract) else ()
    alone = len(names) > 1
    return tuple(
        Profile(Range(1, size, 1 if alone and index == 0 else contract.max_batch), free)
        for index, size in enumerate(tuned)
    )


def _has_free_axis(contract: Contract) -> bool:
    return any(-1 in tensor.dims for tensor in contract.inputs)


def choose(contract: Contract, built: Sequence[Profile], batch: int) -> int:
    """The profile that fits a batch and is tuned for the nearest one, as Triton's backend chooses.

    errors: ValueError for a batch that no profile has
    """
    fitting = [index for index, profile in enumerate(built) if batch in profile.batch]
    if not fitting:
        offered = ", ".join(str(profile.batch) for profile in built)
        raise ValueError(
            f"{contract.name}: expected a batch within the profiles {offered}, got {batch}; "
            "send fewer rows or build for more"
        )
    return min(fitting, key=lambda index: abs(built[index].batch.optimum - batch))


def as_dicts(built: Iterable[Profile]) -> list[dict[str, object]]:
    """Plain values for JSON and for what an engine's recipe is hashed of."""
    return [{"batch": asdict(one.batch), "lengths": {k: asdict(v) for k, v in one.lengths}} for one in built]

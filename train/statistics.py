"""Differences between two ways of training, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """A mean difference over ``pairs`` seeds, and the ends of its 95% confidence interval."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """``second`` minus ``first``, paired: entry i of both comes from seed i.

    With the differences d of n seeds, their mean m and their standard deviation s (divisor n − 1), the interval is
    m ± t·s/√n, t being the 0.975 quantile of Student's t distribution with n − 1 degrees of freedom (Student, "The
    probable error of a mean", Biometrika 1908, https://doi.org/10.1093/biomet/6.1.1). It speaks of what the seed
    decides (initial weights, order, noise), not of other test images. Raises :class:`ValueError` for fewer than two
    pairs or unequal lengths.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"two sequences of one length, 2 or more, are needed. Received: {len(first)}, {len(second)}")
    values = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Difference(mean, mean - half, mean + half, len(values))


def percent(first: Sequence[float], second: Sequence[float]) -> Difference:
    """How many percent ``second`` lies above ``first``, seed by seed: :func:`difference` of 100·(second/first − 1)."""
    ratios = 100.0 * (np.asarray(second, np.float64) / np.asarray(first, np.float64) - 1.0)
    return difference([0.0] * len(first), ratios.tolist())

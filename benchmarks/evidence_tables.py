"""The tables of ``evidence.py``: figures of single images to Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

REAL = "camera"


@dataclass(frozen=True)
class Gain:
    """One image by one model: the true gain, its estimate, Stein's estimate (None if there is none), all in dB.

    ``noise``: the deviation added, or "camera". ``true_noise``, ``wavelets``, ``flat`` and ``seen`` (by the network)
    are deviations of the noise before in 8-bit levels.
    """

    model: str
    noise: str
    file: str
    strength: float
    gain: float
    estimate: float | None
    stein: float | None
    true_noise: float
    wavelets: float | None
    flat: float | None
    seen: float | None


@dataclass(frozen=True)
class Removed:
    """One image by one method: the share of the removed layer that is detail, and what ``residual_structure`` says."""

    method: str
    noise: str
    file: str
    is_gray: bool
    detail: float
    structure: float | None


def correlations(pairs: Iterable[tuple[float, float | None]]) -> str:
    """Pearson's and Spearman's correlation of the pairs that are whole, as two cells; dashes under three pairs."""
    whole = np.array([pair for pair in pairs if pair[1] is not None], np.float64).reshape(-1, 2)
    if len(whole) < 3 or np.ptp(whole, axis=0).min() == 0:
        return "- | -"
    ranks = rankdata(whole, axis=0)
    return " | ".join(f"{np.corrcoef(values.T)[0, 1]:.2f}" for values in (whole, ranks))


def told_apart(rows: list[Removed]) -> str:
    """Of two results of one noisy image, how often the one with more structure has lost more detail, in percent."""
    right = [
        (first.detail > second.detail) == (first.structure > second.structure)
        for first, second in combinations(rows, 2)
        if (first.file, first.noise, first.is_gray) == (second.file, second.noise, second.is_gray)
        and first.structure is not None
        and second.structure is not None
    ]
    return f"{100 * np.mean(right):.0f} %" if right else "-"


def _mean(values: Iterable[float | None], form: str = ".2f") -> str:
    there = [value for value in values if value is not None]
    return f"{np.mean(there):{form}}" if there else "-"


def _error(pairs: Iterable[tuple[float, float | None]]) -> str:
    return _mean(None if guess is None else abs(guess - truth) for truth, guess in pairs)


def _groups(rows: list[Gain]) -> Iterator[tuple[str, list[Gain]]]:
    """By model, noise and strength; all Gaussian noise together behind its parts."""
    for model in dict.fromkeys(row.model for row in rows):
        for strength in dict.fromkeys(row.strength for row in rows):
            ours = [row for row in rows if (row.model, row.strength) == (model, strength)]
            words = f"`{model}`" + ("" if strength == 1 else f", strength {strength:g}")
            kinds = dict.fromkeys(row.noise for row in ours)
            for noise in kinds if strength == 1 else ():
                if noise != REAL:
                    yield f"{words} | {noise}", [row for row in ours if row.noise == noise]
            yield f"{words} | all these", [row for row in ours if row.noise != REAL]
            if REAL in kinds:
                yield f"{words} | {REAL}", [row for row in ours if row.noise == REAL]


def gains_table(rows: list[Gain]) -> str:
    """Markdown: the estimates of the gain against the true one."""
    lines = [
        "| model | noise | true gain | estimate | Pearson | Spearman | mean error "
        "| Stein: Pearson | Spearman | mean error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for words, group in _groups(rows):
        ours, theirs = [(row.gain, row.estimate) for row in group], [(row.gain, row.stein) for row in group]
        means = f"{_mean(row.gain for row in group)} | {_mean(row.estimate for row in group)}"
        lines.append(
            f"| {words} | {means} | {correlations(ours)} | {_error(ours)} | {correlations(theirs)} | {_error(theirs)} |"
        )
    return "\n".join(lines)


def noise_table(rows: list[Gain]) -> str:
    """Markdown: the estimates of the noise before against the true one."""
    lines = [
        "| model | noise | true | noise_before | flat_noise_before | seen by the network | empty cells of flat |",
        "|---|---|---|---|---|---|---|",
    ]
    foot = []
    for words, group in _groups([row for row in rows if row.strength == 1]):
        if words.endswith("all these"):
            for column in ("wavelets", "flat", "seen"):
                pairs = [(row.true_noise, getattr(row, column)) for row in group]
                foot.append(
                    f"| {words.split(' | ')[0]} | {_COLUMNS[column]} | {correlations(pairs)} | {_error(pairs)} |"
                )
            continue
        cells = [_mean(getattr(row, column) for row in group) for column in ("true_noise", "wavelets", "flat", "seen")]
        empty = sum(row.flat is None for row in group)
        lines.append(f"| {words} | {' | '.join(cells)} | {empty} of {len(group)} |")
    head = ["| model | estimate, all Gaussian noise | Pearson | Spearman | mean error |", "|---|---|---|---|---|"]
    return "\n".join([*lines, "", *head, *foot])


_COLUMNS = {"wavelets": "noise_before", "flat": "flat_noise_before", "seen": "seen by the network"}


def removed_table(rows: list[Removed], models: list[str]) -> str:
    """Markdown: detail removed and the structure found, by method and noise, and how they go together."""
    kinds = list(dict.fromkeys(row.noise for row in rows))
    lines = [
        "| detail removed, structure_removed |" + "".join(f" {kind} |" for kind in kinds),
        "|---|" + "---|" * len(kinds),
    ]
    for method in dict.fromkeys(row.method for row in rows):
        groups = ([row for row in rows if (row.method, row.noise) == (method, kind)] for kind in kinds)
        cells = (
            f"{_mean(row.detail for row in group)}, {_mean(row.structure for row in group)}" if group else ""
            for group in groups
        )
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += ["", "| over | noise | Pearson | Spearman | told apart |", "|---|---|---|---|---|"]
    for words, chosen in (
        ("the models", [row for row in rows if row.method in models]),
        ("the methods that eat detail", [row for row in rows if row.method not in models]),
        ("all", rows),
    ):
        for kind in [*kinds, None]:
            rows_of = [row for row in chosen if kind in (row.noise, None)]
            if rows_of:
                pairs = [(row.detail, row.structure) for row in rows_of]
                lines.append(f"| {words} | {kind or 'all'} | {correlations(pairs)} | {told_apart(rows_of)} |")
    return "\n".join(lines)

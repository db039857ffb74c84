"""``STUDY.md`` and its folder of figures, from the stored results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from train import study_figures
from train.findings import Findings, Verdict
from train.statistics import Difference
from train.studies import CLAIMS, GRIDS, LOWER_IS_BETTER, MODELS, Claim, Grid
from train.units import Places

_NAMES = {"psnr": "PSNR", "ssim": "SSIM", "mae": "MAE", "mse": "MSE"}
_DIGITS = {"psnr": 2, "ssim": 4, "mae": 4, "mse": 6}
_UNITS = {"psnr": " dB"}
_FAR = 2.0
"""Decibels of distance from which on a chosen setting is said not to fit; seeds differ by some 0.2."""


def write(findings: Findings, places: Places, quick: bool) -> Path:
    """Draw all figures that there are results for and write ``STUDY.md`` into ``places.out``; returns its path."""
    places.out.mkdir(parents=True, exist_ok=True)
    done = study_figures.draw_all(findings, places)
    text = "\n\n".join(
        [
            "# The three studies, reproduced",
            *(["**This is a quick run, a smoke test: the figures say nothing.**"] if quick else []),
            _PREFACE,
            "## Study by study",
            _goals(findings),
            "## Settings that the studies leave open",
            _RULE,
            *(_grid(grid, findings) for grid in GRIDS),
            "## What the studies claimed",
            _STATISTICS,
            _claims(findings),
            "## What the original designs leave on the table",
            _SIBLINGS,
            _siblings(findings),
            "## Figures",
            *([study_figures.OVERVIEW] if done else []),
            *(study_figures.pictures(model, findings) for model in done),
            "## Runs",
            _runs(findings),
        ]
    )
    path = places.out / "STUDY.md"
    path.write_text(text + "\n", encoding="utf-8")
    return path


_PREFACE = """\
Written by `python -m train study --data data`, where `data` holds `mnist/`, `fashion-mnist/`, `cifar10/` and `photos/`
(the first three come from `keras.datasets` where they are not there).

How everything here is measured: Gaussian noise is added to test images in [0, 1] and clipped to [0, 1], not rounded to
8 bits, as the studies did; image i of a test set has the noise of `numpy.random.default_rng(i)`, the same for all
models. The output is clipped to [0, 1] and not rounded. PSNR, SSIM, MAE and MSE are taken per image and averaged over
the test images: scikit-image's definitions, data range 1, SSIM with the Gaussian window (11×11, sigma 1.5,
`use_sample_covariance=False`), mean over channels. Test images are the test sets of MNIST, Fashion-MNIST and CIFAR-10,
as far as `data` holds them (the table of runs has their number), and every fifth photograph. None is trained on,
and none decides which weights are kept: every run has a fixed length, and its averaged weights at the end are measured.
The first study gives figures of validation images; ours are of test images. Where a model was trained with several
seeds, its figure is the mean over all of them; the first seed is the one in `models/`, whichever is best.

Networks are the studies', and so are data, noise and losses where they name them; the schedule is not. A study that
names its optimiser names Adam, the second with a rate that falls on a plateau and with early stopping. Here every
network, the siblings too, is trained with Muon on a cosine, and its weights are averaged; what is compared has the same
batches, rate and length.

Networks with the squared error in their loss have a linear output layer: with a sigmoid they saturate at zero on mostly
black images within some thirty steps and stay there. The one with binary cross-entropy has a sigmoid.
`rgb-leaky` here is the study's network at the study's size, not the production model of that name in `models/`."""

_RULE = """\
The second study names neither data nor noise, the third neither images nor noise. The study's simple model was trained
in every plausible setting, with the first seed, and measured on the test images. The setting with the smallest distance
to the figures that the study reported for its simple model is taken, whether its figures flatter us or not. Distance:
with every figure as an error e in decibels (−PSNR, 10 lg MSE, 10 lg (1 − SSIM)),
√(Σ (e_simple − e_study)² + Σ max(0, e_study − e_noisy)²). The second sum is for the untrained side: the studies give no
figures for their noisy images, but they cannot have been better than the result."""

_STATISTICS = """\
Differences are paired by seed (the same initial weights, order of images and noise, where the networks have the same
shape): with the differences d of n seeds, mean m and standard deviation s (divisor n − 1), the 95% interval is
m ± t·s/√n with the 0.975 quantile t of Student's distribution with n − 1 degrees of freedom. It covers what the seed
decides, not other test images."""

_SIBLINGS = """\
Same data, same noise, same number of images seen; our U-Net with residual output, with fewer operations a
pixel than the original. Its loss: the study's combined loss for `gray-hybrid` and `gray-deep`, Charbonnier
otherwise, and in all the mean absolute error of the noise level that it estimates. Mean over seeds for the original,
one seed for the sibling; kMAC: thousands of multiply-accumulates a pixel."""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(metric: str, value: float, more: int = 0) -> str:
    return f"{value:.{_DIGITS[metric] + more}f}{_UNITS.get(metric, '')}"


def _goals(findings: Findings) -> str:
    rows = []
    for one in findings.verdicts():
        metric, goal = one.goal.metric, one.goal
        sign = "≤" if metric in LOWER_IS_BETTER else "≥"
        reach = f"{sign} {_number(metric, goal.study)}" if goal.study is not None else f"above `{goal.above}`"
        if goal.above and one.reach is not None:
            reach += f" ({_number(metric, one.reach)})"
        rows.append(
            [
                f"`{one.model.name}`",
                str(one.setting) if one.setting else "not chosen yet",
                _NAMES[metric],
                "" if goal.study is None else _number(metric, goal.study),
                reach,
                "" if goal.aim is None else f"{sign} {_number(metric, goal.aim)}",
                _measured(one),
                one.words,
            ]
        )
    header = ("model", "data and noise", "figure", "the study's", "reach", "aim", "measured", "verdict")
    return _table(header, rows)


def _measured(one: Verdict) -> str:
    if one.measured is None:
        return ""
    # One digit more than the study gives, so that a near miss does not look like a hit.
    return f"{_number(one.goal.metric, one.measured, 1)} ({one.seeds} seed{'s' if one.seeds > 1 else ''})"


def _grid(grid: Grid, findings: Findings) -> str:
    metrics = [goal.metric for goal in grid.goals]
    header = ["setting", *(f"noisy {_NAMES[one]}" for one in metrics)]
    header += [f"`{grid.model}` {_NAMES[one]}" for one in metrics] + ["distance, dB", ""]
    chosen = findings.chosen[grid.study]
    rows = [["the study", *("not given" for _ in metrics)]]
    rows[0] += [_number(goal.metric, goal.study) for goal in grid.goals if goal.study is not None] + ["0", ""]
    for tried in findings.grids[grid.study]:
        row = [str(tried.unit.setting), *(_number(one, tried.result.noisy[one]) for one in metrics)]
        row += [_number(one, tried.result.figures[one]) for one in metrics]
        rows.append([*row, f"{tried.distance:.2f}", "**chosen**" if tried.unit.setting == chosen else ""])
    return f"Study {grid.study}. {choice(grid, findings)}\n\n{_table(header, rows)}"


def choice(grid: Grid, findings: Findings) -> str:
    """The setting that was chosen, in words, and whether it fits at all."""
    chosen = findings.chosen[grid.study]
    if chosen is None:
        return "Not all settings have been tried yet: none is chosen."
    nearest = min(tried.distance for tried in findings.grids[grid.study])
    far = f" Even that is {nearest:.1f} dB off: the study's own setting is none of these." if nearest > _FAR else ""
    return f"Chosen: {chosen}.{far}"


def _claims(findings: Findings) -> str:
    rows = [_claim(claim, metric, findings) for claim in CLAIMS for metric in claim.metrics]
    header = ("change", "figure", "before → after", "difference, 95% interval", "in percent", "seeds", "the study",
              "verdict")  # fmt: skip
    return _table(header, rows)


def _claim(claim: Claim, metric: str, findings: Findings) -> list[str]:
    found = findings.compare(claim, metric)
    change = f"{claim.title}: `{claim.first}` → `{claim.second}`"
    claimed = claim.claimed.get(metric)
    unit = "%" if claim.in_percent else _UNITS.get(metric, "")
    study = "does not say" if claimed is None else f"{claimed:+g}{unit}"
    if found is None:
        return [change, _NAMES[metric], "not measured yet", "", "", "", study, ""]
    as_claimed = found.percent if claim.in_percent else found.absolute
    return [
        change,
        _NAMES[metric],
        f"{_number(metric, found.before)} → {_number(metric, found.after)}",
        _interval(found.absolute, _DIGITS[metric] + 1) + _UNITS.get(metric, ""),
        "" if metric == "psnr" else _interval(found.percent, 2) + "%",  # decibels are a ratio already
        str(found.absolute.pairs),
        study,
        conclusion(found.absolute, as_claimed, metric, claimed),
    ]


def _interval(one: Difference, digits: int) -> str:
    return f"{one.mean:+.{digits}f} [{one.low:+.{digits}f}, {one.high:+.{digits}f}]"


def conclusion(absolute: Difference, as_claimed: Difference, metric: str, claimed: float | None) -> str:
    """What the interval says, and whether it holds what the study claims (in the units of ``as_claimed``)."""
    if not absolute.is_shown:
        words = "no difference shown"
    else:
        words = "better" if (absolute.mean < 0) == (metric in LOWER_IS_BETTER) else "**worse**"
    if claimed is None:
        return words
    inside = as_claimed.low <= claimed <= as_claimed.high
    return f"{words}; the study's figure is {'inside' if inside else 'outside'} the interval"


def _siblings(findings: Findings) -> str:
    rows = []
    for sibling in MODELS.values():
        if not sibling.sibling_of:
            continue
        for model in (*(MODELS[name] for name in sibling.sibling_of), sibling):
            results = findings.results(model)
            if not results:
                rows.append([f"`{model.name}`", "not measured yet", *[""] * 6])
                continue
            one = next(iter(results.values()))
            _, after = study_figures.before_and_after(model, findings)
            figures = [_number(metric, after[metric]) for metric in _NAMES]
            rows.append(
                [
                    f"`{model.name}`",
                    str(findings.setting(model)),
                    f"{one.parameters:,}",
                    f"{one.kmac_per_pixel:g}",
                    *figures,
                ]
            )
    return _table(("model", "data and noise", "parameters", "kMAC", *_NAMES.values()), rows)


def _schedule() -> str:
    """What the schedules of all runs share."""
    (shared,) = {dataclasses.replace(model.recipe.schedule, rate=0.0) for model in MODELS.values()}
    return (
        f"{shared.warmup} steps of warm-up, then a cosine to a thousandth of the rate; weight decay "
        f"{shared.weight_decay:g}, gradients clipped to a norm of {shared.clip_norm:g}, weights averaged with a "
        f"momentum of {shared.ema:g}"
    )


def _runs(findings: Findings) -> str:
    rows, total = [], 0.0
    pairs = [(one.unit, one.result) for tried in findings.grids.values() for one in tried]
    for model in MODELS.values():
        results = findings.results(model)
        pairs += [(one, results[one.recipe.seed]) for one in findings.units(model) if one.recipe.seed in results]
    seen = {one.key: (one, result) for one, result in pairs}
    for one, result in seen.values():
        total += result.wall_seconds
        recipe = one.recipe
        rows.append(
            [
                f"`{one.name}`",
                str(one.setting),
                str(recipe.seed),
                recipe.loss,
                f"{recipe.schedule.rate:g}",
                str(recipe.batch_size),
                str(result.passes),
                f"{result.megapixels:.0f}",
                f"{result.wall_seconds:.0f}",
                str(result.test_images),
                result.data,
                result.finished,
                f"`--only {MODELS[one.name].part}`",
            ]
        )
    header = ("model", "setting", "seed", "loss", "rate", "batch", "passes", "megapixels seen", "seconds",
              "test images", "trained on", "date", "`python -m train study --data data …`")  # fmt: skip
    hardware = ", ".join(sorted({result.hardware for _, result in seen.values()})) or "none"
    words = (
        f"{len(rows)} runs, {total / 3600:.1f} hours in all, training and measuring, each run's own time added up; "
        f"`--jobs 2` does two at a time on a core each. Machine: {hardware}. Grids: `--only grid-2`, `--only grid-3`. "
        f"Muon, {_schedule()}; only its rate differs."
    )
    return f"{words}\n\n{_table(header, rows)}"

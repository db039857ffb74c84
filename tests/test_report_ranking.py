"""Which files a report shows: those that deserve a look first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from folderdenoise.report.rank import LOOK, judge, measure_for, pick
from folderdenoise.table import Row


class TestRanking:
    @pytest.mark.parametrize(
        ("figures", "words"),
        [
            ({"structure_removed": 0.7}, "follows the picture"),
            (
                {"flat_noise_before": 0.5, "flat_noise_after": 0.4, "noise_before": 6.0, "noise_after": 1.0},
                "hardly any",
            ),
            ({"noise_before": 12.0, "noise_after": 8.0}, "still noisy"),
            ({"flat_noise_before": 12.0, "flat_noise_after": 8.0}, "still noisy"),
            ({"estimated_psnr_gain": -2.0}, "worse than the original by the estimate"),
            ({"psnr": 30.0, "psnr_gain": -1.2}, "worse than the original by the reference (-1.2 dB)"),
        ],
    )
    def test_each_doubt_has_its_words(self, figures: dict[str, float], words: str) -> None:
        judged = judge(Row("a.png", **({"noise_before": 10.0, "noise_after": 1.0} | figures)))
        assert judged.score >= LOOK
        assert words in judged.reasons[0]

    @pytest.mark.parametrize(
        "figures",
        [
            {},
            {"structure_removed": 0.1, "flat_noise_before": 10.0, "flat_noise_after": 0.5, "estimated_psnr_gain": 8.0},
            # Next to nothing was removed: what it looked like does not matter.
            {"structure_removed": 0.9, "noise_before": 1.0, "noise_after": 0.9},
            # Texture is left, not noise: the flat parts say so.
            {"noise_before": 14.0, "noise_after": 6.0, "flat_noise_before": 10.0, "flat_noise_after": 0.8},
            # Noise was left on purpose.
            {"strength": 0.5, "noise_before": 10.0, "noise_after": 5.5},
            {"psnr": 32.0, "psnr_gain": 6.0, "structure_removed": 0.9},
            # Nobody sees this: it is next to equal to the reference.
            {"psnr": 50.0, "psnr_gain": -4.0},
            {"psnr": 30.0, "psnr_gain": -0.01},
            {"notes": "its palette was replaced by plain RGB values"},
            {"status": "failed", "noise_before": None, "noise_after": None, "notes": "damaged"},
            {"noise_before": None, "noise_after": None},  # a 1-bit page
        ],
    )
    def test_what_is_well_is_left_alone(self, figures: dict[str, Any]) -> None:
        assert judge(Row("a.png", **({"noise_before": 10.0, "noise_after": 1.0} | figures))).score < LOOK

    def test_a_graver_fault_has_a_higher_score(self) -> None:
        gains = [judge(Row("a", psnr=30.0, psnr_gain=gain)).score for gain in (3.0, 0.2, -0.1, -1.0, -2.0)]
        assert gains == sorted(gains)
        assert len(set(gains)) == len(gains)
        assert judge(Row("a", psnr=30.0, psnr_gain=-math.inf)).score == 1.0

    def test_with_notes_alone_a_file_comes_before_one_without(self) -> None:
        plain, noted = (judge(Row("a", noise_before=9.0, noise_after=1.0, notes=notes)) for notes in ("", "odd"))
        assert plain.score < noted.score < LOOK
        assert noted.reasons == ("notes: odd",)

    def test_each_file_is_picked_once_the_worst_page_first(self) -> None:
        book = [Row("book", number, pages=9, psnr=30.0, psnr_gain=-number / 10) for number in range(1, 10)]
        others = [Row(f"{index:02}", psnr=30.0, psnr_gain=float(index)) for index in range(1, 31)]
        pages = [*book, *others]
        measure = measure_for(pages)
        picks = pick(pages, [judge(one) for one in pages], measure)
        assert [(one.file, one.page) for one in picks.look] == [("book", 9)]
        assert picks.others["book"] == 8
        assert [one.file for one in picks.worst] == ["01", "02", "03", "04", "05", "06"]
        assert [one.file for one in picks.best] == ["30", "29", "28", "27", "26", "25"]
        assert measure.title == "PSNR gain"

    def test_never_more_than_24_are_picked(self) -> None:
        pages = [Row(str(index), psnr=30.0, psnr_gain=index - 50.0) for index in range(100)]
        picks = pick(pages, [judge(one) for one in pages], measure_for(pages))
        assert len({one.file for one in (*picks.look, *picks.worst, *picks.best)}) == 24
        assert picks.look_files == 50

    def test_without_a_reference_the_estimate_then_the_noise_is_the_measure(self) -> None:
        noisy = Row("a", noise_before=10.0, noise_after=1.0)
        assert measure_for([noisy]).value(noisy) == pytest.approx(90.0)
        assert measure_for([noisy, replace(noisy, estimated_psnr_gain=3.0)]).title == "estimated PSNR gain"

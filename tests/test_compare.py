"""Two files or folders against each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import tifffile

from . import pictures
from .reports import plain, run


class TestCompare:
    def test_the_figures_are_those_of_scikit_image(self, tmp_path: Path) -> None:
        clean = pictures.scene(90, 120)
        noisy = pictures.noisy(clean, 20)
        pictures.save(tmp_path / "a" / "x.png", noisy)
        pictures.save(tmp_path / "b" / "x.tif", clean)
        result = run("compare", tmp_path / "a", tmp_path / "b", "--json")
        assert result.returncode == 0, result.stderr
        (found,) = json.loads(result.stdout)["pages"]
        one, other = clean / 255.0, noisy / 255.0
        assert found["psnr"] == pytest.approx(skimage.metrics.peak_signal_noise_ratio(one, other, data_range=1))
        assert found["mse"] == pytest.approx(skimage.metrics.mean_squared_error(one, other))
        assert found["mae"] == pytest.approx(np.abs(one - other).mean())
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = skimage.metrics.structural_similarity(one, other, data_range=1, channel_axis=2, **window)
        assert found["ssim"] == pytest.approx(ssim, abs=1e-6)

    def test_folders_missing_partners_and_other_sizes(self, tmp_path: Path) -> None:
        clean = pictures.scene()
        for name in ("same.png", "sub/wide.png", "only a.png", "twin.png", "twin.jpg"):
            pictures.save(tmp_path / "a" / name, clean)
        for name in ("same.png", "only b.png", "twin.tif"):
            pictures.save(tmp_path / "b" / name, clean)
        pictures.save(tmp_path / "b" / "sub" / "wide.png", pictures.scene(48, 65))
        (tmp_path / "a" / "list.txt").write_text("a list")
        result = run("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
        assert result.returncode == 1
        assert "inf" in result.stdout
        assert "mean of 1 page (1 identical, not in the mean PSNR); 6 failed" in result.stdout
        for words in ("wide.png: The image is 64 × 48", "only a.png: has no partner", "only b.png: has no partner"):
            assert words in result.stderr
        assert result.stderr.count("partner is not clear") == 3
        text = plain((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert "1 pair compared, 6 failed." in text
        assert "only b.png: has no partner" in text

    def test_each_page_of_a_file(self, tmp_path: Path) -> None:
        clean = np.stack([pictures.scene(channels=1, seed=seed) for seed in range(3)])
        noisy = np.stack([pictures.noisy(plane, 10 * (number + 1)) for number, plane in enumerate(clean)])
        for name, stack in (("a.tif", noisy), ("b.tif", clean), ("short.tif", clean[:2])):
            tifffile.imwrite(tmp_path / name, stack, photometric="minisblack")
        result = run("compare", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "page.html", "--json")
        found = [page["psnr"] for page in json.loads(result.stdout)["pages"]]
        assert found == sorted(found, reverse=True)
        assert len(found) == 3
        assert "page 3 of 3" in plain((tmp_path / "page.html").read_text(encoding="utf-8"))
        short = run("compare", tmp_path / "a.tif", tmp_path / "short.tif")
        assert short.returncode == 1
        assert "has 3 pages, its reference 2" in short.stderr

    def test_wrong_usage(self, tmp_path: Path) -> None:
        image = pictures.save(tmp_path / "a" / "a.png", pictures.scene())
        (tmp_path / "empty").mkdir()
        for first, second, *options in (
            (tmp_path / "gone", image),
            (tmp_path / "a", image),
            (tmp_path / "empty", tmp_path / "empty"),
            (image, image, "--out", image),
            (image, image, "--out", tmp_path / "nowhere" / "page.html"),
        ):
            result = run("compare", first, second, *options)
            assert result.returncode == 2
            assert result.stdout == ""
            assert "Traceback" not in result.stderr
        assert f"there is no folder {tmp_path / 'nowhere'}. Make it" in result.stderr
        assert (pictures.load(image) == pictures.scene()).all()

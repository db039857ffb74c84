"""The benchmark scripts on tiny folders: their figures against an independent computation, their tables written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from . import models, pictures

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script as Python does when it is run, its folder on the path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        for module in ("peers", "quality", "harm", "speed", "crops", "evidence", "evidence_tables"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        return __import__(name)

    return load


def run(script: ModuleType, *arguments: object) -> str:
    result = CliRunner().invoke(script.main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def psnr_ssim(image: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    ssim = structural_similarity(
        image,
        clean,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if clean.ndim == 3 else None,
    )
    return peak_signal_noise_ratio(clean, image, data_range=255), ssim


def blurred(image: np.ndarray) -> np.ndarray:
    """What the model of ``models.write_blur`` makes of an 8-bit image."""
    means = cv2.blur(image.astype(np.float64), (5, 5), borderType=cv2.BORDER_CONSTANT)
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def folder_of(tmp_path: Path, count: int = 3, channels: int = 3) -> tuple[Path, list[np.ndarray]]:
    scenes = [pictures.scene(40 + index, 56, channels, seed=index) for index in range(count)]
    for index, scene in enumerate(scenes):
        pictures.save(tmp_path / "clean" / f"{index}.png", scene)
    return tmp_path / "clean", scenes


@pytest.mark.parametrize("channels", [1, 3])
def test_quality_of_added_noise_is_what_an_independent_computation_gives(
    script: Any, zoo_dir: Path, tmp_path: Path, channels: int
) -> None:
    folder, scenes = folder_of(tmp_path, channels=channels)
    out = tmp_path / "figures.json"
    shown = run(
        script("quality"), "--clean", folder, "--sigma", 10, "--sigma", 25, "--methods", "noisy,auto", "--json", out
    )
    rows = {(r["method"], r["sigma"], r["file"]): r for r in json.loads(out.read_text("utf-8"))["results"]}
    means: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for index, scene in enumerate(scenes):
        # With the channel axis, as the images are added noise to: (H, W, C).
        shape = scene.shape if channels == 3 else (*scene.shape, 1)
        for sigma in (10, 25):
            noise = np.random.default_rng(index).normal(size=shape).reshape(scene.shape) * sigma
            noisy = np.clip(np.rint(scene + noise), 0, 255).astype(np.uint8)
            for method, image in (("noisy", noisy), ("auto", blurred(noisy))):
                row = rows[method, sigma, f"{index}.png"]
                expected = psnr_ssim(image, scene)
                assert (row["psnr"], row["ssim"]) == pytest.approx(expected, abs=0.02 if method == "auto" else 1e-6)
                means.setdefault((method, sigma), []).append((row["psnr"], row["ssim"]))
    for method in ("noisy", "auto"):
        cells = (np.mean(means[method, sigma], axis=0) for sigma in (10, 25))
        line = f"| {method} | " + " | ".join(f"{psnr:.2f} ({ssim:.3f})" for psnr, ssim in cells) + " |"
        assert line in shown.splitlines()


def test_raw_noise_is_measured_unclipped_and_every_counts_the_images_used(
    script: Any, zoo_dir: Path, tmp_path: Path
) -> None:
    folder, scenes = folder_of(tmp_path)
    out = tmp_path / "figures.json"
    arguments = ("--clean", folder, "--sigma", 80, "--protocol", "raw", "--every", 2, "--methods", "noisy,identity")
    run(script("quality"), *arguments, "--json", out)
    rows = {(r["method"], r["file"]): r["psnr"] for r in json.loads(out.read_text("utf-8"))["results"]}
    assert {file for _, file in rows} == {"0.png", "2.png"}
    noise = np.random.default_rng(1).normal(size=scenes[2].shape) * 80
    assert rows["noisy", "2.png"] == pytest.approx(-10 * np.log10(np.mean((noise / 255) ** 2)), abs=1e-4)
    clipped = np.clip(np.rint(scenes[2] + noise), 0, 255).astype(np.uint8)
    assert rows["identity", "2.png"] == pytest.approx(psnr_ssim(clipped, scenes[2])[0], abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("protocol", ["files", "raw"])
def test_classical_peers_remove_noise(script: Any, tmp_path: Path, channels: int, protocol: str) -> None:
    folder, _ = folder_of(tmp_path, count=1, channels=channels)
    out = tmp_path / "figures.json"
    methods = "opencv-nlm,skimage-nlm,tv,bayes-shrink"
    run(
        script("quality"),
        *("--clean", folder, "--sigma", 25, "--protocol", protocol, "--methods", methods, "--json", out),
    )
    gains = {r["method"]: r["gain"] for r in json.loads(out.read_text("utf-8"))["results"]}
    assert set(gains) == set(methods.split(","))
    assert min(gains.values()) > 2


def test_pairs_name_the_worst_and_leave_out_what_has_no_partner(script: Any, zoo_dir: Path, tmp_path: Path) -> None:
    # A blur harms the picture without noise, and helps the very noisy one; that one's partner has another suffix.
    calm, rough = pictures.scene(seed=1), pictures.scene(seed=2)
    pictures.save(tmp_path / "clean/sub/calm.png", calm)
    pictures.save(tmp_path / "noisy/sub/calm.png", pictures.noisy(calm, 1))
    pictures.save(tmp_path / "clean/rough.bmp", rough)
    pictures.save(tmp_path / "noisy/rough.png", pictures.noisy(rough, 40))
    pictures.save(tmp_path / "noisy/alone.png", rough)
    out = tmp_path / "figures.json"
    shown = run(
        script("quality"),
        *("--clean", tmp_path / "clean", "--noisy", tmp_path / "noisy", "--methods", "noisy,rgb-leaky", "--json", out),
    )
    rows = {(r["method"], r["file"]): r for r in json.loads(out.read_text("utf-8"))["results"]}
    assert {file for _, file in rows} == {"sub/calm.png", "rough.png"}
    noisy = pictures.noisy(calm, 1)
    loss = psnr_ssim(blurred(noisy), calm)[0] - psnr_ssim(noisy, calm)[0]
    assert rows["rgb-leaky", "sub/calm.png"]["gain"] == pytest.approx(loss, abs=0.02)
    assert rows["rgb-leaky", "rough.png"]["gain"] > 0 > loss
    line = next(line for line in shown.splitlines() if line.startswith("| rgb-leaky"))
    assert line.endswith(f"| {rows['rgb-leaky', 'sub/calm.png']['gain']:+.2f} dB (sub/calm.png) |")


def test_harm_tells_a_smeared_picture_and_lost_strokes(script: Any, zoo_dir: Path, tmp_path: Path) -> None:
    pictures.save(tmp_path / "clean" / "a.png", pictures.noisy(pictures.scene(240, 320), 20))
    text = run(script("harm"), "--clean", tmp_path / "clean", "--methods", "identity,rgb-leaky")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    jpeg = {(row[0], row[1]): row[2:] for row in rows if row[0] in ("50", "75", "90")}
    strokes = {(row[0], row[1]): row[2:] for row in rows if len(row) == 4 and row[0] in ("0", "15", "25")}
    assert len(jpeg) == len(strokes) == 9
    for quality in ("50", "75", "90"):
        # One model leaves everything as it is, the other is a mean over 5 x 5 pixels.
        assert jpeg[quality, "identity"] == jpeg[quality, "the JPEG"]
        assert jpeg[quality, "identity"][2] == "100%"
        assert float(jpeg[quality, "rgb-leaky"][2].rstrip("%")) < 60
    clean = cv2.imread(str(tmp_path / "clean" / "a.png"))
    _, data = cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, 75])
    expected = peak_signal_noise_ratio(clean, cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert float(jpeg["75", "the JPEG"][0]) == pytest.approx(expected, abs=0.01)
    assert strokes["0", "identity"] == ["100.0%", "100.0%"]
    assert float(strokes["25", "identity"][0].rstrip("%")) < 99
    assert float(strokes["0", "rgb-leaky"][1].rstrip("%")) < 80


def test_unknown_method_and_missing_noise_are_said(script: Any, zoo_dir: Path, tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, count=1)
    quality = script("quality")
    for arguments, words in ((["--sigma", "5", "--methods", "nonsense"], "nonsense"), ([], "--sigma")):
        result = CliRunner().invoke(quality.main, ["--clean", str(folder), *arguments])
        assert result.exit_code != 0
        assert words in result.output
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        # Multiply-accumulates of 3 x 3 convolutions for each pixel; FFDNet works on a quarter of the pixels.
        (3, {"dncnn": 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3), "ffdnet": 9 * (13 * 96 + 10 * 96 * 96 + 96 * 12) / 4}),
        (1, {"dncnn": 9 * (64 + 18 * 64 * 64 + 64), "ffdnet": 9 * (5 * 64 + 13 * 64 * 64 + 64 * 4) / 4}),
    ],
)
def test_speed_measures_every_contestant_and_its_peers_have_their_papers_shapes(
    script: Any, zoo_dir: Path, tmp_path: Path, channels: int, expected: dict[str, float]
) -> None:
    out = tmp_path / "times.json"
    model = {1: "gray-leaky", 3: "rgb-leaky"}[channels]
    shown = run(
        script("speed"),
        *("--methods", f"{model},dncnn,ffdnet,opencv-nlm", "--size", 32, "--photograph", "150x120", "--tile", 100),
        *("--rounds", 2, "--precision", "f32", "--json", out, *(["--gray"] if channels == 1 else [])),
    )
    rows = json.loads(out.read_text("utf-8"))
    assert all(len(row["ms_per_megapixel"]) == 2 and min(row["ms_per_megapixel"]) > 0 for row in rows)
    kmac = {row["name"]: row["kmac_per_pixel"] for row in rows if row["kind"] == "whole"}
    assert {name: 1000 * kmac[name] for name in expected} == pytest.approx(expected)
    assert [row["name"] for row in rows if row["kind"] == "tiled"] == [model]
    lines = [line for line in shown.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in lines[1:]] == [model, "dncnn", "ffdnet", "opencv-nlm"]
    assert " | 1.00 | " in lines[1]
    assert "more pixels through the network" in shown


def test_repeated_share_counts_the_pixels_that_the_network_sees(script: Any, tmp_path: Path) -> None:
    from folderdenoise import tiles, zoo

    card = zoo.find(models.write_blur(tmp_path / "blur"))
    image = np.zeros((300, 410, 3), np.uint8)
    seen = []

    def network(tile: np.ndarray) -> np.ndarray:
        seen.append(tile.shape[1] * tile.shape[2])
        return tile

    tiles.denoise_tiled(image, network, tile=128, overlap=card.overlap, multiple=card.size_multiple)
    share = script("speed").repeated_share(card, 410, 300, 128)
    assert share == pytest.approx(sum(seen) / (300 * 410) - 1)
    assert share > 0.05


def test_crops_shows_the_very_pixels_of_each_column(script: Any, zoo_dir: Path, tmp_path: Path) -> None:
    clean = pictures.scene(90, 110, seed=4)
    noisy = pictures.noisy(clean, 20)
    paths = [pictures.save(tmp_path / f"{name}.png", image) for name, image in (("clean", clean), ("noisy", noisy))]
    out = tmp_path / "sheet.png"
    script_arguments = [
        *("--place", f"noisy={paths[1]},clean={paths[0]},x=13,y=21,size=40,label=a, b"),
        *("--place", f"clean={paths[0]},sigma=30,x=50,y=3,size=32"),
        *("--place", f"noisy={paths[1]},x=0,y=0,size=32"),
        *("--methods", "rgb-leaky", "--precision", "f32"),
    ]
    run(script("crops"), out, *script_arguments)
    sheet = pictures.load(out)
    added = np.clip(np.rint(clean + np.random.default_rng(0).normal(size=clean.shape) * 30), 0, 255).astype(np.uint8)
    first = (slice(21, 61), slice(13, 53))
    second = (slice(3, 35), slice(50, 82))
    third = (slice(0, 32), slice(0, 32))
    for image, place in ((noisy, first), (clean, first), (added, second), (clean, second), (noisy, third)):
        assert holds(sheet, image[place])
    assert not holds(sheet, clean[third])
    # The model's column, to within a rounding: its picture of the whole image, not of the crop.
    assert holds(sheet, blurred(noisy)[third], tolerance=1)


def test_crops_shows_a_picture_upright_that_is_stored_on_its_side(script: Any, zoo_dir: Path, tmp_path: Path) -> None:
    stored = pictures.scene(60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    run(script("crops"), tmp_path / "sheet.png", "--place", f"noisy={tmp_path / 'a.png'},x=10,y=50,size=40")
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    assert holds(pictures.load(tmp_path / "sheet.png"), upright[50:90, 10:50])


def holds(sheet: np.ndarray, crop: np.ndarray, tolerance: int = 0) -> bool:
    """Whether ``crop`` lies somewhere in ``sheet``."""
    distance = cv2.matchTemplate(sheet.astype(np.float32), crop.astype(np.float32), cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(distance.argmin()), distance.shape)
    found = sheet[row : row + len(crop), column : column + crop.shape[1]].astype(int)
    return bool(np.abs(found - crop).max() <= tolerance)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("x=1,y=1,size=4", "noisy=FILE"),
        ("noisy={file},x=1,y=1", "size"),
        ("noisy={file},x=1,y=1,size=500", "outside"),
        ("noisy={file},x=1,y=1,size=4,zoom=3", "zoom"),
        ("face,noisy={file},x=1,y=1,size=4", "face"),
    ],
)
def test_crops_says_what_is_wrong_with_a_place(
    script: Any, zoo_dir: Path, tmp_path: Path, place: str, words: str
) -> None:
    file = pictures.save(tmp_path / "a.png", pictures.scene())
    arguments = [str(tmp_path / "sheet.png"), "--methods", "identity", "--place", place.format(file=file)]
    result = CliRunner().invoke(script("crops").main, arguments)
    assert result.exit_code != 0
    assert words in result.output
    assert not (tmp_path / "sheet.png").exists()


class TestEvidence:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for index in range(3):
            pictures.save(tmp_path / "clean" / f"{index}.png", pictures.scene(96 + 16 * index, 128, seed=index))
        return tmp_path / "clean"

    def test_figures_are_what_an_independent_computation_gives(
        self, script: Any, zoo_dir: Path, tmp_path: Path, folder: Path
    ) -> None:
        pictures.save(tmp_path / "real/clean/a.png", pictures.scene(96, 128, seed=5))
        pictures.save(tmp_path / "real/noisy/a.png", pictures.noisy(pictures.scene(96, 128, seed=5), 20))
        out = tmp_path / "figures.json"
        shown = run(
            script("evidence"),
            *("--images", folder, "--real", tmp_path / "real", "--sigma", 10, "--sigma", 25, "--json", out),
            *("--models", "rgb-leaky,gray-leaky", "--photograph", "200x150"),
        )
        record = json.loads(out.read_text("utf-8"))
        gains = {(r["model"], r["noise"], r["file"], r["strength"]): r for r in record["gains"]}
        assert len(gains) == len(record["gains"]) == 2 * (2 * 3 + 1) * 2
        clean = pictures.scene(112, 128, seed=1)
        noise = np.random.default_rng(1).normal(size=clean.shape) * 25
        noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
        gain = psnr_ssim(blurred(noisy), clean)[0] - psnr_ssim(noisy, clean)[0]
        row = gains["rgb-leaky", "25", "1.png", 1.0]
        assert row["gain"] == pytest.approx(gain, abs=0.02)
        assert row["true_noise"] == pytest.approx(np.sqrt(np.mean((noisy.astype(float) - clean) ** 2)))
        assert row["flat"] == pytest.approx(25, rel=0.1)
        assert (row["seen"], row["stein"]) == (None, None)  # the blur does not say how strong the noise is
        halved = np.rint((noisy.astype(float) + blurred(noisy)) / 2)
        gain = psnr_ssim(halved, clean.astype(float))[0] - psnr_ssim(noisy, clean)[0]
        assert gains["rgb-leaky", "25", "1.png", 0.5]["gain"] == pytest.approx(gain, abs=0.02)
        layers = {(r["method"], r["noise"], r["file"]): r for r in record["removed"]}
        blur = cv2.GaussianBlur(noisy, (0, 0), 1.5).astype(float)
        taken = clean - cv2.GaussianBlur(clean, (0, 0), 1.5).astype(float)
        share = np.mean(taken**2) / np.mean((noisy - blur) ** 2)
        assert layers["Gaussian blur 1.5 px", "25", "1.png"]["detail"] == pytest.approx(share, abs=0.02)
        for table in shown.split("\n\n"):
            lines = [line for line in table.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) <= 1, table
        estimate = np.mean([gains["gray-leaky", "25", f"{index}.png", 1.0]["estimate"] for index in range(3)])
        assert any(
            line.startswith("| `gray-leaky` | 25 |") and f"| {estimate:.2f} |" in line for line in shown.split("\n")
        )
        assert "| `rgb-leaky` | 200×150 |" in shown

    def test_count_takes_so_many_images_evenly(self, script: Any, zoo_dir: Path, tmp_path: Path, folder: Path) -> None:
        out = tmp_path / "figures.json"
        run(
            script("evidence"),
            *("--images", folder, "--sigma", 10, "--models", "rgb-leaky", "--count", 2, "--photograph", "64x64"),
            *("--json", out),
        )
        assert len({row["file"] for row in json.loads(out.read_text("utf-8"))["gains"]}) == 2

    def test_steins_estimate_is_right_for_white_noise_of_known_strength(self, script: Any) -> None:
        clean = pictures.scene(192, 256)
        noisy = pictures.noisy(clean, 15)
        denoised = cv2.addWeighted(noisy, 0.5, cv2.blur(noisy, (5, 5)), 0.5, 0)
        estimate = script("evidence").stein(noisy, denoised, lambda x: (x + cv2.blur(x, (5, 5))) / 2, 15 / 255)
        gain = psnr_ssim(denoised, clean)[0] - psnr_ssim(noisy, clean)[0]
        assert estimate == pytest.approx(gain, abs=0.3)

    def test_correlations_are_those_of_scipy(self, script: Any) -> None:
        pairs = [(1.0, 2.0), (2.0, 2.5), (3.0, 9.0), (5.0, 1.0), (8.0, None)]
        first, second = zip(*pairs[:-1], strict=True)
        cells = f"{pearsonr(first, second)[0]:.2f} | {spearmanr(first, second)[0]:.2f}"
        script("evidence")
        assert sys.modules["evidence_tables"].correlations(pairs) == cells
        assert sys.modules["evidence_tables"].correlations(pairs[3:]) == "- | -"

    def test_results_of_one_image_are_told_apart_and_of_others_not_compared(self, script: Any) -> None:
        script("evidence")
        tables = sys.modules["evidence_tables"]
        figures = [("a", 0.1, 0.2), ("a", 0.2, 0.3), ("a", 0.3, 0.1), ("a", 0.9, None), ("b", 0.0, 0.9)]
        rows = [tables.Removed("m", "10", file, False, detail, structure) for file, detail, structure in figures]
        assert tables.told_apart(rows) == "33 %"
        assert tables.told_apart(rows[3:]) == "-"

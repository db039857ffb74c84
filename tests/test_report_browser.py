"""The report in a real browser: it opens without the network, the slider moves, the table sorts and filters."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from folderdenoise.ledger import Ledger
from folderdenoise.report import write_report
from folderdenoise.table import Row

from . import pictures

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'test'")

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FILES = 1234


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("needs an installed Chromium, as of 'apt-get install chromium'")
    # Chromium refuses its sandbox to root, whom containers run tests as.
    sandbox = not hasattr(os, "geteuid") or os.geteuid() != 0
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over many files, two with pictures, one failed, one with a hostile name."""
    folder = tmp_path_factory.mktemp("run")
    out = folder / "in-denoised"
    figures = {"width": 700, "height": 500, "model": "rgb-leaky", "strength": 1.0, "noise_after": 1.0}
    rows = [Row(f"scan {index}.png", noise_before=5.0 + index % 97, **figures) for index in range(_FILES - 4)]
    for name, structure in (("a.png", 0.9), ("b.png", 0.0)):
        pictures.save(folder / "in" / name, pictures.noisy(pictures.scene(500, 700), 30))
        pictures.save(out / name, pictures.scene(500, 700))
        rows.append(Row(name, noise_before=300.0, structure_removed=structure, **figures))
    rows.append(
        Row("</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">.png")
    )
    rows.append(Row("bad.jpg", status="failed", notes="bad.jpg: damaged"))
    with Ledger(out / "metrics.csv") as ledger:
        ledger.append(rows)
    return write_report(out)


@pytest.fixture
def page(browser: sync_api.Browser, report: Path) -> Iterator[sync_api.Page]:
    """The open report. That it asked for nothing else and met no error is checked at the end of each test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    requests, faults = list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(report.as_uri())
    yield page
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert faults == []
    assert "taken" not in page.title()
    context.close()


def _cells(page: sync_api.Page, title: str) -> list[str]:
    titles = page.locator("#table thead th").all_inner_texts()
    index = [text.strip(" ▴▾\n") for text in titles].index(title)
    return page.locator(f"#table tbody tr > :nth-child({index + 1})").all_inner_texts()


def test_the_slider_moves_with_the_pointer_and_with_keys(page: sync_api.Page) -> None:
    stage = page.locator(".look .stage").first
    slider, after = stage.locator("input[type=range]"), stage.locator(".side.after")

    def shown_from() -> float:
        """How many percent of the result are cut off at its left."""
        return float(re.findall(r"[\d.]+", after.evaluate("element => getComputedStyle(element).clipPath"))[-1])

    assert shown_from() == 50
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 40)
    page.mouse.up()
    assert shown_from() == 100
    slider.press("Home")
    assert shown_from() == 0
    slider.press("ArrowRight")
    assert shown_from() == 0.5


def test_what_is_shown_left_and_right_of_the_slider_is_before_and_after(page: sync_api.Page) -> None:
    stage = page.locator(".look .stage").first
    stage.scroll_into_view_if_needed()
    images = []
    for key in ("End", "Home"):
        stage.locator("input").press(key)
        images.append(stage.screenshot())
    assert images[0] != images[1]
    # Noise does not compress: the page before is by far the larger picture.
    assert len(images[0]) > 1.5 * len(images[1])


def test_the_difference_alone(page: sync_api.Page) -> None:
    card = page.locator(".look .card").first
    card.locator("label.removed input").check()
    assert card.locator(".side.after").evaluate("element => getComputedStyle(element).mixBlendMode") == "difference"
    assert not card.locator("input[type=range]").is_visible()
    card.locator("label.removed input").uncheck()
    assert card.locator("input[type=range]").is_visible()


def test_pictures_are_at_100_percent_on_a_wide_and_on_a_narrow_screen(page: sync_api.Page) -> None:
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        sizes = page.eval_on_selector_all(
            ".side img", "all => all.map(i => [i.getBoundingClientRect().width, i.naturalWidth])"
        )
        assert len(sizes) == 4
        assert all(shown == natural for shown, natural in sizes)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_table_sorts_up_and_down_and_by_number(page: sync_api.Page) -> None:
    assert page.locator("#table tbody tr").count() == 100
    assert page.locator("#table nav span").inner_text() == "1–100 of 1,234"
    button = page.get_by_role("button", name="noise before")
    button.click()
    assert [float(cell) for cell in _cells(page, "noise before")[:3]] == [300.0, 300.0, 101.0]
    assert page.locator("#table th[aria-sort=descending]").count() == 1
    button.click()
    numbers = [float(cell) for cell in _cells(page, "noise before")]
    assert numbers == sorted(numbers)
    assert numbers[0] == 5.0
    page.get_by_role("button", name="file", exact=True).click()
    assert _cells(page, "file")[3:6] == ["bad.jpg", "scan 0.png", "scan 1.png"]
    for _ in range(12):
        page.get_by_role("button", name="Next").click()
    assert page.locator("#table nav span").inner_text() == "1,201–1,234 of 1,234"
    assert page.get_by_role("button", name="Next").is_disabled()


def test_the_table_is_filtered(page: sync_api.Page) -> None:
    page.get_by_role("searchbox").fill("SCAN 77")
    expected = {f"scan {index}.png" for index in range(_FILES - 4) if "77" in str(index)}
    assert set(_cells(page, "file")) == expected
    assert page.locator("#table output").inner_text() == f"{len(expected)} of 1,234 rows"
    page.get_by_role("searchbox").fill("follows the picture")
    assert _cells(page, "file") == ["a.png"]
    page.get_by_role("searchbox").fill("")
    page.locator("#table select").select_option("failed")
    assert _cells(page, "file") == ["bad.jpg"]
    page.locator("#table select").select_option("look")
    assert "a.png" in _cells(page, "file")


def test_a_hostile_name_is_shown_as_it_is(page: sync_api.Page) -> None:
    page.get_by_role("searchbox").fill("onerror")
    assert _cells(page, "file")[0].startswith("</script><script>document.title='taken'</script><img src=x")


def test_without_script_the_essential_is_readable(browser: sync_api.Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    text = page.locator("body").inner_text()
    assert "1,233 of 1,234 files denoised, 1 failed." in text
    assert "bad.jpg: damaged" in text
    assert "metrics.csv holds the same rows" in text
    before, after = (page.locator(f".look .side.{side}").first.bounding_box() for side in ("before", "after"))
    assert before is not None
    assert after is not None
    assert before["x"] + before["width"] <= after["x"]
    context.close()


def test_dark_is_dark_and_print_is_light(browser: sync_api.Browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(21, 23, 26)"
    page.emulate_media(media="print")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert not page.locator(".stage input").first.is_visible()
    context.close()

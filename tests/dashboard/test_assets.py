"""The page's files: all there, and all listed."""

import re

from ticktape.dashboard import assets


def test_every_file_of_the_page_is_listed_and_no_other_is_there():
    folder = assets.files("ticktape.dashboard") / "static"
    assert {each.name for each in folder.iterdir()} == set(assets.TYPES)
    assert set(assets.load_assets()) == set(assets.TYPES)


def test_the_page_reaches_for_nothing_but_its_own_files():
    loaded = assets.load_assets()
    page = loaded[assets.PAGE].content.decode()
    names = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert names and all(name.removeprefix("/static/") in loaded for name in names)
    for name, asset in loaded.items():
        if name.endswith((".js", ".css")) and not name.startswith("uPlot"):
            text = asset.content.decode()
            assert re.findall(r"https?://[^ `'\"]+", text) == []
            assert "innerHTML" not in text and "insertAdjacentHTML" not in text


def test_the_licence_of_what_others_wrote_goes_with_it():
    text = assets.load_assets()["LICENSES.txt"].content.decode()
    assert "uPlot 1.6.32" in text and "Permission is hereby granted" in text
    assert b"uPlot (v1.6.32)" in assets.load_assets()["uPlot.iife.min.js"].content[:200]

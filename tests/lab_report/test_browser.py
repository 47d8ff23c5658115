"""The page in a real browser: that it is drawn, in light and dark, and reaches for nothing."""

from collections import Counter

from ticktape.lab.report import write_report

EVIL = "<b>bold & $x^2$ <script>alert(1)</script>"

SORT = """(() => {
  const table = document.querySelector("table.sortable");
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((head) => head.textContent === "captures/s");
  const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
  heads[column].firstElementChild.click();
  const up = texts();
  heads[column].firstElementChild.click();
  return {up, down: texts(), state: heads[column].getAttribute("aria-sort")};
})()"""


def numbers(texts):
    return [float(text.removesuffix("/s").replace(",", "")) for text in texts]


def test_the_page_is_drawn_with_its_pictures_and_complains_of_nothing(lab, browser):
    seen, complaints = browser.look(write_report(lab.make()), more=SORT)
    assert complaints == []
    assert seen["requests"] == []
    assert len(seen["pictures"]) == 8
    for picture in seen["pictures"]:
        assert picture["paths"] > 5
        assert picture["width"] > 200
        assert picture["height"] > 200
        assert {"journal", "queue-4x2to1"} <= set(picture["words"])
        assert not [word for word in picture["words"] if "$" in word or "\\" in word]
    assert [name for name, count in Counter(seen["ids"]).items() if count > 1] == []
    assert numbers(seen["more"]["up"]) == sorted(numbers(seen["more"]["up"]))
    assert seen["more"]["down"] == seen["more"]["up"][::-1]
    assert seen["more"]["state"] == "descending"


def test_the_page_is_dark_where_the_reader_is_and_fits_a_narrow_screen(lab, browser):
    page = write_report(lab.make(("pipe-2", "journal")))
    light, _ = browser.look(page)
    dark, complaints = browser.look(page, dark=True, width=400)
    assert complaints == []
    assert (light["dark"], dark["dark"]) == (False, True)
    assert light["ground"] == "rgb(255, 255, 255)"
    assert dark["ground"] == "rgb(21, 23, 26)"
    assert dark["ink"] != light["ink"]
    assert dark["width"] < 600
    assert dark["scroll_width"] <= dark["width"], "only tables may scroll sideways, in their box"


def test_markup_in_a_layouts_name_is_shown_and_not_obeyed(lab, browser):
    name = EVIL.replace("/", "|")
    seen, complaints = browser.look(write_report(lab.make((name, "journal"))))
    assert complaints == []
    assert "b" not in seen["elements"]
    assert any(name in picture["words"] for picture in seen["pictures"])

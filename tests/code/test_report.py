"""The page of a verdict: what it says, in which order, and that it can be made whatever the verdict is."""

import base64
import io
import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoqual.config import GuardrailParams, PromoteParams
from photoqual.errors import DataError, MissingData
from photoqual.evaluation.guardrails import Guardrail
from photoqual.registry.disagreements import SHOWN, disagreements
from photoqual.registry.forest import forest
from photoqual.registry.report import verdict_page
from tests.code.test_pages import HOSTILE, Seen, assert_self_contained
from tests.verdicts import DIGEST, Judged, make_judged, make_thumbnails

STRICT = PromoteParams(guardrails=GuardrailParams(max_calibration_error=0.001))
NOTHING: dict[str, Any] = {"numbers": {}, "decision": "not_evaluable", "reason": "It was trained on frozen photos."}


def page_of(judged: Judged, thumbnails: Any = None, **told: Any) -> str:
    return verdict_page(
        judged.verdict | told,
        judged.frozen,
        judged.challenger,
        judged.champion,
        judged.guardrails,
        thumbnails or make_thumbnails(judged.frozen, size=(60, 40)),
        judged.names,
    )


@cache
def ordinary() -> Judged:
    return make_judged(400)


@cache
def ordinary_page() -> str:
    return page_of(ordinary())


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", Seen(page).text)


def test_the_page_goes_from_the_decision_to_where_it_comes_from() -> None:
    assert_self_contained(ordinary_page())
    headings = re.findall(r"<h2>(.*?)</h2>", ordinary_page())
    assert headings == [
        "The numbers",
        "How well good and bad photos are told apart",
        "Guardrails",
        "Does a score mean what it says?",
        "Does it react as it should?",
        "Where the two disagree most",
        "How worn the frozen photos are",
        "Where this comes from",
    ]
    assert re.findall(r"<h1>(.*?)</h1>", ordinary_page()) == ["Version 8 replaces version 7"]


def test_the_page_has_every_number_that_the_verdict_rests_on() -> None:
    numbers, text = ordinary().verdict["numbers"], text_of(ordinary_page())
    assert ordinary().verdict["reason"] in text
    for name in ("challenger_auc", "champion_auc"):
        assert f"{numbers[name]:.4f}" in text
    for name in ("delta_auc", "delta_auc_low"):
        assert f"{numbers[name]:+.4f}" in text
    assert f"400, {numbers['good_photos']} of them good, in {numbers['groups']} groups" in text
    assert "at 99.58%" in text
    for told in (DIGEST, "2026-11-03 14:03 UTC", numbers["method"], "verdict number 3", "25% of the whole is left"):
        assert told in text
    for rail in ordinary().guardrails:
        assert rail.text in ordinary_page().replace("&#39;", "'")


DECISIONS = [
    ("promoted", {}, "Version 8 replaces version 7", "✓ Promoted", "good"),
    ("promoted", {"dry_run": True}, "Version 8 would replace version 7", "✓ Promoted", "good"),
    ("refused", {}, "Version 8 does not replace version 7", "✗ Refused", "bad"),
    ("not_evaluable", {}, "Version 8 could not be judged against version 7", "? Not evaluable", "wait"),
    (
        "awaiting_approval",
        {},
        "Version 8 may replace version 7 once a person agrees",
        "… Awaiting approval",
        "wait",
    ),
    (
        "rejected",
        {},
        "Version 8 was turned down by a person; version 7 stays champion",
        "✗ Rejected by a person",
        "bad",
    ),
    ("superseded", {}, "Version 8: superseded", "Superseded", "info"),
]


@pytest.mark.parametrize(("decision", "told", "sentence", "word", "kind"), DECISIONS)
def test_the_decision_is_said_in_words_and_colour(
    decision: str, told: dict[str, Any], sentence: str, word: str, kind: str
) -> None:
    bare = replace(ordinary(), challenger=None, champion=None, guardrails=())
    page = page_of(bare, decision=decision, numbers={}, **told)
    assert f"<h1>{sentence}</h1>" in page
    shown = re.search(r'<div class="notice verdict (\w+)">\s*<strong>(.*?)</strong>', page)
    assert shown is not None
    assert (shown[1], shown[2].strip()) == (kind, word)
    assert ("dry run" in text_of(page)) == bool(told.get("dry_run"))


def test_a_first_champion_is_judged_against_chance() -> None:
    judged = make_judged(300, first=True, look=1)
    page = page_of(judged)
    text = text_of(page)
    assert "Version 8 becomes the first champion" in text
    assert "0.5, which is chance" in text
    assert "None: there is no champion to disagree with." in text
    assert "reported and not judged" in text
    assert "None</" not in page
    assert "version None" not in text
    assert len(re.findall(r"<figure>", page)) == 3


def test_a_refused_first_champion_is_said_so() -> None:
    bare = replace(ordinary(), challenger=None, champion=None, guardrails=(), names=("1", None))
    assert "<h1>Version 1 does not become champion</h1>" in page_of(bare, decision="refused", numbers={})


def test_without_scores_the_page_says_what_is_missing() -> None:
    text = text_of(page_of(replace(ordinary(), challenger=None, champion=None, guardrails=()), **NOTHING))
    for told in (
        "It was trained on frozen photos.",
        "Nothing can be drawn: version 8 was not scored.",
        "There is no difference to draw",
        "None was measured.",
        "No metamorphic check was made.",
        "there are no two scores of each photo",
        "This verdict is not counted",
    ):
        assert told in text


def test_scores_that_are_not_numbers_are_said_so() -> None:
    scores = np.where(np.arange(400) < 7, np.nan, ordinary().challenger)
    text = text_of(page_of(replace(ordinary(), challenger=scores, guardrails=()), **NOTHING))
    assert "7 of 400 photos have a score that is not a number" in text


def test_a_champion_without_scores_leaves_one_curve() -> None:
    text = text_of(page_of(replace(ordinary(), champion=None, guardrails=()), **NOTHING))
    assert "One curve only: version 7 was not scored." in text


def test_scores_of_other_photos_are_refused() -> None:
    with pytest.raises(DataError, match="399 scores for 400 frozen photos"):
        page_of(replace(ordinary(), challenger=ordinary().challenger[1:]))  # type: ignore[index]


@pytest.mark.parametrize("photos", [5, 20_000])
def test_few_and_many_photos_make_a_page_of_reasonable_weight(photos: int) -> None:
    page = page_of(make_judged(photos, gain=0.1, look=1, categories=["one"]))
    assert_self_contained(page)
    assert f"{photos:,} frozen photos, the largest difference" in text_of(page)
    assert 50_000 < len(page) < 1_000_000


def test_hostile_names_stay_text() -> None:
    judged = make_judged(
        300, categories=[HOSTILE, "$\\frac{", "日本の写真", "a" * 300], names=("8<script>", "$\\frac{7"), gain=1.0
    )
    judged.frozen["group"] = HOSTILE
    seen = assert_self_contained(page_of(judged, reason=HOSTILE, at=HOSTILE))
    assert seen.text.count(HOSTILE) > 5
    for name in ("$\\frac{", "日本の写真", "a" * 300, "8<script>"):
        assert name in seen.text


def test_broken_guardrails_come_first_and_are_named() -> None:
    judged = make_judged(300, policy=STRICT)
    text = text_of(page_of(judged))
    assert "Broken: calibration error" in text
    assert "✗ broken" in text
    assert re.search(r"In words\s+calibration error\s*✗ broken", text)
    harmless = replace(judged, guardrails=tuple(reversed(judged.guardrails)))
    assert re.search(r"In words\s+calibration error\s*✗ broken", text_of(page_of(harmless)))


def test_what_could_not_be_evaluated_is_named() -> None:
    rail = Guardrail("damage black", "not_evaluable", None, 0.05, "Not evaluable: the check was made on no photo.")
    text = text_of(page_of(replace(ordinary(), guardrails=(rail,))))
    assert "Not evaluable: damage black" in text
    assert "? not evaluable" in text


def _shown_pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_pictures_are_made_small() -> None:
    pictures = _shown_pictures(page_of(ordinary(), make_thumbnails(ordinary().frozen, size=(1200, 800))))
    assert len(pictures) == SHOWN
    assert {max(picture.size) for picture in pictures} == {240}
    assert all(not picture.getexif() for picture in pictures)


def test_pictures_that_are_missing_or_broken_are_counted() -> None:
    whole = make_thumbnails(ordinary().frozen, size=(60, 40))

    def some(ids: Any) -> dict[str, bytes]:
        return {
            photo_id: whole([photo_id])[photo_id] if index else b"not a picture"
            for index, photo_id in enumerate(ids[:10])
        }

    page = page_of(ordinary(), some)
    assert len(_shown_pictures(page)) == 9
    assert page.count("picture not at hand") == 3
    assert "2 picture(s) not at hand, 1 unreadable." in text_of(page)


def test_a_shard_that_is_gone_does_not_cost_the_page() -> None:
    def gone(ids: Any) -> dict[str, bytes]:
        raise MissingData("Shard x is missing.", next_step="Run `dvc pull`.")

    page = page_of(ordinary(), gone)
    assert "The pictures could not be read: Shard x is missing." in text_of(page)
    assert page.count("picture not at hand") == SHOWN


def test_the_photos_shown_are_those_of_the_largest_difference() -> None:
    judged = ordinary()
    assert judged.challenger is not None
    assert judged.champion is not None
    asked: list[str] = []

    def thumbnails(ids: Any) -> dict[str, bytes]:
        asked.extend(ids)
        return {}

    found = disagreements(judged.frozen, judged.challenger, judged.champion, judged.names, thumbnails)["photos"]
    apart = dict(zip(judged.frozen["photo_id"], np.abs(judged.challenger - judged.champion), strict=True))
    assert asked == sorted(apart, key=lambda photo_id: -apart[photo_id])[:SHOWN]
    for photo in found:
        right = 1.0 if photo["truth"] == "good" else 0.0
        off = {name: abs(photo[name] - right) for name in ("challenger", "champion")}
        assert photo["nearer"] == min(off, key=off.__getitem__)


def test_models_that_agree_everywhere_have_nothing_to_show() -> None:
    judged = ordinary()
    found = disagreements(judged.frozen, judged.champion, judged.champion, judged.names, dict.fromkeys)
    assert found["photos"] == []
    assert "every one of 400 photos the same score" in found["sentence"]


def _slice(name: str, value: float, low: float, high: float, limit: float | None = -0.05) -> Guardrail:
    return Guardrail(f"slice {name}", "holds", value, limit, "", low, high)


def test_forest_places_intervals_on_one_scale() -> None:
    found = forest([_slice("category=a=b", 0.02, -0.06, 0.1), _slice("source=x", -0.1, -0.1, -0.1)])
    assert found is not None
    (category, (first,)), (source, (second,)) = found["slicings"]
    assert (category, first["name"], source, second["name"]) == ("category", "a=b", "source", "x")
    assert found["ticks"] == [(0.0, "−0.10"), (50.0, "0.00"), (100.0, "+0.10")]
    assert (first["left"], first["width"], first["dot"], first["limit"]) == (20.0, 80.0, 60.0, 25.0)
    assert (second["left"], second["width"], second["dot"]) == (0.0, 0.0, 0.0)
    assert first["found"] == "+0.020 (−0.060 to +0.100)"


def test_forest_cuts_an_interval_that_would_flatten_the_others() -> None:
    rails = [_slice(f"category={number}", 0.0, -0.04, 0.04) for number in range(20)]
    found = forest([*rails, _slice("category=tiny", 0.2, -0.8, 0.9)])
    assert found is not None
    rows = found["slicings"][0][1]
    assert rows[0]["width"] > 30
    assert (rows[-1]["cut_left"], rows[-1]["cut_right"], rows[-1]["left"], rows[-1]["width"]) == (
        True,
        True,
        0.0,
        100.0,
    )
    assert rows[-1]["dot"] is None
    assert "−0.800 to +0.900" in rows[-1]["found"]


def test_forest_without_champion_is_of_areas() -> None:
    found = forest([_slice("source=x", 0.8, 0.7, 0.9, limit=None)])
    assert found is not None
    assert "chance" in found["caption"]
    assert found["slicings"][0][1][0]["limit"] is None
    assert forest([]) is None


@pytest.mark.parametrize(("look", "before", "now"), [(1, 0.0, 50.0), (2, 50.0, 16.67), (10, 90.0, 0.91)])
def test_the_bar_of_wear_shows_what_was_spent(look: int, before: float, now: float) -> None:
    bare = replace(ordinary(), challenger=None, champion=None, guardrails=())
    numbers = {"confidence": 0.95, "look": look, "level": 0.05 / (look * (look + 1)), "alpha_left": 1 / (look + 1)}
    page = page_of(bare, numbers=numbers)
    widths = [float(width) for width in re.findall(r'class="(?:before|now)" style="width:([\d.]+)%', page)]
    assert widths == pytest.approx([before, now], abs=0.02)

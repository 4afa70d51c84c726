"""The page *Taste*: rate some photos with the keys 1 to 5, see what is learned of it, keep or discard that."""

from pathlib import Path
from typing import Any

import streamlit as st

from photoqual.app.answering import Answering, loaded
from photoqual.app.frame import current_model, head, kindly, say
from photoqual.app.limits import LIMITS
from photoqual.app.options import Options
from photoqual.app.shown import facts_table, plain
from photoqual.app.taste_photos import Photo, few_of, from_folder, from_uploads
from photoqual.app.taste_run import learn, table_of
from photoqual.errors import PhotoqualError, UnreadablePhoto
from photoqual.models.answer import STARS
from photoqual.models.heads import FEATURES
from photoqual.models.info import KERAS
from photoqual.pages.render import decimal, percent, signed
from photoqual.registry.store import profile_model
from photoqual.taste.learn import MIN_RATINGS

MOST = 60
"""Photos that are asked about at once."""
_PHOTOS, _STARS, _UNREAD, _FOUND, _ROUND = (f"taste_{name}" for name in ("photos", "stars", "unread", "found", "round"))
_KEYS = {1: "poor", 2: "weak", 3: "middling", 4: "good", 5: "excellent"}


def render() -> None:
    """Draw the page."""
    head("Taste", f"Rate {MIN_RATINGS} photos or more, and see whether the model can learn what you like.")
    model = current_model()
    _assert_can_learn(model)
    state = st.session_state
    if state.get(_FOUND):
        _verdict(state[_FOUND], model)
    elif state.get(_PHOTOS):
        _rating(state[_PHOTOS], state.setdefault(_STARS, {}), model)
    else:
        _choice()


def _assert_can_learn(model: Answering) -> None:
    """End the page unless a taste can be learned on top of `model`, before anybody has rated in vain."""
    with kindly():
        outputs = loaded(model.folder).info.outputs
    if (model.folder / KERAS).is_file() and FEATURES in outputs:
        return
    st.info(f"{plain(model.words.capitalize())} cannot learn a taste: it holds no network that could be built upon.")
    st.markdown(
        "Train a champion of your own first (`dvc repro`, `photoqual register`, `photoqual promote`), or start the app "
        "with `--model` and a model folder that `photoqual train` wrote."
    )
    st.stop()


def _choice() -> None:
    """Draw the choice of photos to rate."""
    state = st.session_state
    notes: list[str] = []
    if Options().local:
        named = st.text_input(
            "A folder of your photos on this machine", key="taste_folder", placeholder="~/Photos/2026"
        )
        if named:
            with kindly():
                state[_PHOTOS] = few_of(from_folder(Path(named).expanduser()), MOST)
            st.rerun()
    uploads = st.file_uploader(
        f"Or upload {MIN_RATINGS} to {MOST} photos, up to {LIMITS.max_megabytes:g} MB each"
        if Options().local
        else f"Upload {MIN_RATINGS} to {MOST} photos, up to {LIMITS.max_megabytes:g} MB each",
        accept_multiple_files=True,
        key=f"taste_uploads_{state.setdefault(_ROUND, 0)}",
        help="Reduced copies stay in memory until you are done."
        + (" No upload is stored." if Options().keep_uploads is None else " Whoever runs this app keeps each upload."),
    )
    if uploads:
        photos, notes = from_uploads(uploads[:MOST], Options().keep_uploads)
        if len(uploads) > MOST:
            notes.append(f"{len(uploads) - MOST} more were left out: {MOST} is the most.")
        state.update({_PHOTOS: photos, _ROUND: state[_ROUND] + 1, "taste_notes": notes})
        st.rerun()
    for note in state.get("taste_notes", []):
        st.warning(plain(note))


def _rating(photos: list[Photo], given: dict[int, int], model: Answering) -> None:
    """Draw the next photo with its buttons, or, once there is enough, what can be done with the ratings."""
    for note in st.session_state.pop("taste_notes", []):
        st.warning(plain(note))
    place = next((index for index in range(len(photos)) if index not in given), len(photos))
    good = sum(stars >= 4 for stars in given.values())
    bad = sum(1 <= stars <= 2 for stars in given.values())
    st.progress(min(1.0, (good + bad) / MIN_RATINGS), f"{len(given)} of {len(photos)} seen: {good} good, {bad} bad")
    if place < len(photos):
        _ask(photos[place], place, given)
    else:
        st.markdown("You have seen them all.")
    st.divider()
    if good + bad >= MIN_RATINGS:
        _learn(photos, given, model)
    else:
        st.markdown(
            f"{MIN_RATINGS - good - bad} more good or bad ratings are needed; three stars say neither. "
            "Rate photos of several days or places: photos of one are taken together."
        )
    _leave(photos, given)


def _ask(photo: Photo, place: int, given: dict[int, int]) -> None:
    """Draw one photo and the buttons 1 to 5; 0 leaves it out, U takes the last rating back."""

    unread: set[int] = st.session_state.setdefault(_UNREAD, set())

    def give(stars: int) -> None:
        given[place] = stars

    def undo() -> None:
        if by_a_person := given.keys() - unread:
            del given[max(by_a_person)]

    try:
        picture = photo.picture
    except UnreadablePhoto as error:
        given[place] = 0
        unread.add(place)
        st.session_state["taste_notes"] = [f"Photo {place + 1} was left out. {error.message}"]
        st.rerun()
    with st.container(horizontal_alignment="center", key="taste_picture"):
        st.image(picture, width="stretch", alt=f"Photo {place + 1} to rate")
    with st.container(horizontal=True, gap="small"):
        for stars, word in _KEYS.items():
            st.button(
                f"{'★' * stars} {word}", key=f"taste_give_{stars}", shortcut=str(stars), on_click=give, args=(stars,)
            )
        st.button("Leave out", key="taste_skip", shortcut="0", on_click=give, args=(0,))
        st.button("Undo", key="taste_undo", shortcut="U", on_click=undo)


def _learn(photos: list[Photo], given: dict[int, int], model: Answering) -> None:
    """Draw the name of the profile and the button that learns."""
    with st.form("taste_learn", border=False):
        profile = st.text_input("Whose taste? A short name", key="taste_profile", max_chars=40, placeholder="anna")
        asked = st.form_submit_button("See what it learns", type="primary")
    if not asked:
        return
    try:
        profile_model(profile)
        with st.spinner("Learning, and judging it on ratings that were left out …"):
            found = learn(_rated(photos, given), profile=profile, model=model.name, dry_run=True)
        st.session_state[_FOUND] = found
    except PhotoqualError as error:
        say(error)
        return
    st.rerun()


def _rated(photos: list[Photo], given: dict[int, int]) -> list[tuple[Path | bytes, int]]:
    return [(photos[index].content, stars) for index, stars in sorted(given.items()) if 1 <= stars <= STARS]


def _leave(photos: list[Photo], given: dict[int, int]) -> None:
    """Draw what keeps the ratings of a folder, and what forgets them all."""
    rows = [
        (str(photo.content), given[index])
        for index, photo in enumerate(photos)
        if given.get(index) and isinstance(photo.content, Path)
    ]
    with st.container(horizontal=True):
        if rows:
            st.download_button("Download the ratings", table_of(rows), file_name="ratings.csv", mime="text/csv")
        st.button("Start over", on_click=_forget)


def _verdict(found: dict[str, Any], model: Answering) -> None:
    """Draw what was learned, and the choice to keep it."""
    state = st.session_state
    if found.get("version"):
        st.success(f"Kept as version {found['version']} of {plain(profile_model(found['profile']))}.")
        st.markdown("Rate by it with the command")
        st.code(f"photoqual rate PHOTOS --profile {found['profile']}", language="shell")
        st.button("Teach another taste", on_click=_forget)
        return
    if found["kept"] is None:
        st.info("It learned nothing that is better than the model you started from.")
    elif found["kept"] == "head":
        st.success("It learned a taste of your own, beyond chance.")
    else:
        st.success("Your order of photos is the model's; where good begins is your own, beyond chance.")
    st.markdown(plain(found["reason"]))
    st.html(facts_table("What it found", _figures(found)))
    with st.container(horizontal=True):
        if found["kept"] is not None and st.button("Keep it", type="primary"):
            with kindly(), st.spinner("Learning from all ratings, and registering …"):
                state[_FOUND] = learn(
                    _rated(state[_PHOTOS], state[_STARS]), profile=found["profile"], model=model.name, dry_run=False
                )
            st.rerun()
        if st.button("Rate more photos"):
            state.pop(_FOUND)
            st.rerun()
        st.button("Discard it" if found["kept"] is not None else "Start over", on_click=_forget)


def _figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    told = [("Ratings", f"{found['ratings']}: {found['good']} good, {found['bad']} bad, {found['groups']} groups")]
    if "auc" in found:
        told += [
            ("AUC of the model on your ratings", decimal(found["auc_champion"])),
            ("AUC of what was learned, on ratings left out", decimal(found["auc"])),
            ("Better by", f"{signed(found['auc_gain'])}, at least {signed(found['auc_gain_low'])}"),
            ("Labelled right by the model", percent(found["accuracy_champion"])),
            ("Labelled right by what was learned", percent(found["accuracy_corrected"])),
        ]
    if found["skipped"]:
        told.append(
            ("Skipped", ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in found["skipped"].items()))
        )
    return told


def _forget() -> None:
    for name in (_PHOTOS, _STARS, _UNREAD, _FOUND):
        st.session_state.pop(name, None)

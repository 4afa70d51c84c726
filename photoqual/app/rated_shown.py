"""Rated photos of this project that are most like the photo shown: what the model's opinion can be held against."""

from collections.abc import Iterable, Iterator

import streamlit as st

from photoqual.app.frame import say
from photoqual.app.options import Options
from photoqual.app.shown import plain
from photoqual.app.uploads import Answered, one_by_one
from photoqual.errors import PhotoqualError
from photoqual.layout import Layout
from photoqual.models.scorer import Scorer
from photoqual.photos.catalog import is_there
from photoqual.rating.explain.rated import Neighbours, Voted, neighbours

_COUNT = 6
_HELD = "rate_neighbours"


def show_rated(answered: Answered, scorer: Scorer) -> None:
    """Draw the rated photos most like one, where the app runs in a project that has some.

    Only for who sits at this machine: they are the photos that the project was trained on, and not a visitor's.
    """
    layout = Layout()
    if not Options().local or not is_there(layout.catalog):
        return
    if not st.toggle("Look for rated photos like it", key="rate_alike"):
        return
    held = st.session_state.get(_HELD)
    if held is None or held[0] is not answered:
        try:
            with st.spinner("Looking at rated photos …"), one_by_one:
                found = neighbours(
                    scorer, answered.pixels, answered.photo_id, layout, k=_COUNT, progress=_with_progress
                )
        except PhotoqualError as error:
            say(error)
            return
        held = st.session_state[_HELD] = answered, found
    _draw(held[1])


def _draw(found: Neighbours) -> None:
    st.markdown(f"**Most like it, among {found.among:,} rated photos**")
    if found.itself is not None:
        st.markdown(f"It is a rated photo itself: {plain(said(found.itself))}.")
    with st.container(horizontal=True, gap="small"):
        for one in found.alike:
            with st.container(width=150):
                st.image(one.jpeg, width=150, alt=f"A rated photo: {said(one.voted)}")
                st.markdown(f":small[{plain(said(one.voted))}. Alike: {one.cosine:.2f}]")


def said(voted: Voted) -> str:
    """Return in words what people said of a photo."""
    told = []
    if voted.stars is not None:
        told.append(f"{voted.stars:.1f} stars of {voted.votes} vote{'s' if voted.votes != 1 else ''}")
    if voted.good is not None:
        told.append("labelled good" if voted.good else "labelled bad")
    return ", ".join(told) or "not rated"


def _with_progress(photos: Iterable[tuple[str, bytes]], count: int) -> Iterator[tuple[str, bytes]]:
    bar = st.progress(0.0, f"Looking at {count:,} rated photos for the first time …")
    for done, photo in enumerate(photos, start=1):
        yield photo
        bar.progress(done / count, f"Looked at {done:,} of {count:,} rated photos")
    bar.empty()

"""Why a photo got its stars, at three levels: a sentence, a panel, everything."""

import streamlit as st

from photoqual.app.rated_shown import show_rated
from photoqual.app.shown import measures_table, plain
from photoqual.app.uploads import Answered, one_by_one
from photoqual.models.answer import likely
from photoqual.models.heads import SCORE
from photoqual.models.scorer import Scorer
from photoqual.rating.explain.heat import Heat, heat_map, overlay
from photoqual.rating.reasons import spoken

SENTENCE, PANEL, EVERYTHING = "In a sentence", "In a panel", "Everything"
_HEAT = "rate_heat"


def chosen_level() -> str:
    """Draw the choice of a level and return it."""
    level = st.segmented_control(
        "Why?", (SENTENCE, PANEL, EVERYTHING), default=SENTENCE, required=True, key="rate_level"
    )
    return str(level)


def show_reasons(answered: Answered, scorer: Scorer, level: str) -> None:
    """Draw the reasons of a level beyond the sentence."""
    if level == SENTENCE:
        return
    against, speaks_for = st.columns(2)
    with against:
        _listed("What speaks against it", answered.rating.reasons)
    with speaks_for:
        _listed("What speaks for it", answered.rating.strengths)
    if level == EVERYTHING:
        measured, looked = st.columns(2)
        with measured:
            st.html(measures_table(answered.rating.measures, scorer.info.good_ranges))
        with looked:
            _looked_at(answered, scorer)
        show_rated(answered, scorer)


def _listed(title: str, items: list[str]) -> None:
    st.markdown(f"**{title}**")
    st.markdown("\n".join(f"- {plain(item)}" for item in items) if items else "Nothing that is measured here.")


def _looked_at(answered: Answered, scorer: Scorer) -> None:
    """Draw where in the photo the score, or a likely defect, comes from."""
    st.markdown("**Where it comes from**")
    choices = [SCORE, *(name for name, _ in likely(answered.rating.defects))]
    of = st.selectbox("Of", choices, format_func=spoken, key=f"{_HEAT}_of") if len(choices) > 1 else SCORE
    heat = _heat(answered, scorer, of)
    if heat.noticeable:
        st.image(
            overlay(answered.pixels, heat),
            width="stretch",
            alt=f"The photo with the parts marked that the {of} comes from",
        )
        st.markdown("Blue parts speak for the photo, orange ones against it.")
    else:
        st.markdown("No part of it matters alone: it is the photo as a whole.")


def _heat(answered: Answered, scorer: Scorer, of: str) -> Heat:
    """Return the map of this photo, worked out once while it is shown."""
    held = st.session_state.get(_HEAT)
    if held is None or held[0] is not answered or held[1] != of:
        with st.spinner("Hiding one part after the other, and asking anew …"), one_by_one:
            held = st.session_state[_HEAT] = answered, of, heat_map(scorer, answered.pixels, of)
    found: Heat = held[2]
    return found

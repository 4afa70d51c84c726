"""What the pages share: which model answers, said on top, and errors told kindly."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from photoqual.app.answering import Answering, answering
from photoqual.app.options import Options
from photoqual.app.shown import STYLE, plain
from photoqual.errors import PhotoqualError
from photoqual.starter.model import STARTER


def head(title: str, about: str) -> None:
    """Draw the head of a page; `about` is one sentence on what can be done there."""
    st.html(STYLE)
    st.title(title)
    st.markdown(about)


def say(error: PhotoqualError) -> None:
    """Show an error: what happened, and what to do next."""
    st.error(plain(error.message))
    if error.next_step:
        st.markdown(plain(error.next_step))


@contextmanager
def kindly() -> Iterator[None]:
    """Show an error of the block, and end the page there."""
    try:
        yield
    except PhotoqualError as error:
        say(error)
        st.stop()


def current_model() -> Answering:
    """Return the model that answers now and say which it is; show why there is none, and end the page there."""
    with kindly():
        found = answering(Options().model)
    if found.name == STARTER:
        st.markdown(":small[The starter answers: it knows technical faults, and nobody's taste.]")
    else:
        st.markdown(f":small[{plain(found.words.capitalize())} answers.]")
    return found

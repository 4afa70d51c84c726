"""The page *Rate my photo*: upload or pick, then stars, confidence and reasons."""

import time
from collections.abc import Sequence

import streamlit as st

from photoqual.app.answering import Answering, loaded
from photoqual.app.examples import Example, examples
from photoqual.app.frame import current_model, head, kindly
from photoqual.app.guard_uploads import REFUSALS
from photoqual.app.limits import A_MINUTE, AT_ONCE, LIMITS, admitted
from photoqual.app.options import Options
from photoqual.app.reasons_shown import chosen_level, show_reasons
from photoqual.app.shown import plain, predictions, predictions_table, star_text, stars
from photoqual.app.uploads import Answered, Refused, Upload, again, answer
from photoqual.models.scorer import Scorer
from photoqual.rating.explain.levels import sentence
from photoqual.rating.reasons import how_sure

_ANSWERS, _NOTES, _ROUND, _TIMES, _PLACE = (f"rate_{name}" for name in ("answers", "notes", "round", "times", "place"))
_LISTED = 10


def render() -> None:
    """Draw the page."""
    head("Rate my photo", "How good is it, and why? Upload photos, or pick an example.")
    options = Options()
    model = current_model()
    with kindly():
        scorer = loaded(model.folder)
    state = st.session_state
    state.setdefault(_ROUND, 0)
    uploads = st.file_uploader(
        f"Photos to rate, up to {AT_ONCE} at once and {LIMITS.max_megabytes:g} MB each",
        accept_multiple_files=True,
        key=f"rate_uploads_{state[_ROUND]}",
        help="No upload is stored: photos stay in memory while they are rated, and are then forgotten."
        if options.keep_uploads is None
        else "Uploads are kept by whoever runs this app.",
    )
    if options.keep_uploads is not None:
        st.markdown("Whoever runs this app keeps the photos that are uploaded here.")
    picked = _picked_example()
    if uploads:
        _rate(scorer, uploads, model, example=False)
    elif picked is not None:
        _rate(scorer, [picked], model, example=True)
    for note in state.get(_NOTES, []):
        st.warning(plain(note))
    if state.get(_ANSWERS):
        _show(state[_ANSWERS], scorer, model)


def _picked_example() -> Example | None:
    """Draw the examples; return the one that was picked just now."""
    picked = None
    unfolded = st.expander("Or pick an example", expanded=not st.session_state.get(_ANSWERS))
    with unfolded.container(horizontal=True, gap="small"):
        for number, example in enumerate(examples()):
            with st.container(width=140):
                st.image(example.data, width=140, alt=f"Example photograph: {example.name}")
                if st.button(plain(example.name), key=f"rate_example_{number}", width="stretch"):
                    picked = example
    return picked


def _rate(scorer: Scorer, uploads: Sequence[Upload], model: Answering, *, example: bool) -> None:
    """Rate `uploads`, keep the answers for this session, and forget the uploads by giving the uploader a new name."""
    state = st.session_state
    times: list[float] = state.setdefault(_TIMES, [])
    count, wait = admitted(len(uploads), times, time.monotonic())
    bar = st.progress(0.0, "Rating …")
    answers: list[Answered] = []
    notes: list[str] = []
    keep = None if example else Options().keep_uploads
    for done, item in enumerate(answer(scorer, uploads[:count], model.name, keep), start=1):
        times.append(time.monotonic())
        bar.progress(done / max(1, count), f"Rated {done} of {count}")
        if isinstance(item, Refused):
            notes.append(f"{item.name}: {item.message}")
        else:
            answers.append(item)
    notes = [*_left_out(len(uploads) - count, wait, example=example), *_few(notes)]
    answers.sort(key=lambda answered: -answered.rating.score)
    state.update({_ANSWERS: answers, _NOTES: notes, _PLACE: 0, _ROUND: state[_ROUND] + 1})
    st.rerun()


def _left_out(more: int, wait: int, *, example: bool) -> list[str]:
    """Return what to say of uploads that were not rated."""
    told = []
    if wait:
        told.append(f"{more} more were not rated: {A_MINUTE} in a minute is the most. Go on in {wait} seconds.")
    elif more:
        told.append(f"{more} more were not rated: {AT_ONCE} at once is the most. Upload them again for their turn.")
    refused = 0 if example else REFUSALS.take(_session())
    if refused:
        told.append(f"{refused} more did not come through: they were too many or too large at once. Upload fewer.")
    return told


def _session() -> str:
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    return context.session_id if context else ""


def _few(notes: list[str]) -> list[str]:
    more = len(notes) - _LISTED
    return notes if more <= 1 else [*notes[:_LISTED], f"{more} more files could not be rated either."]


def _show(answers: list[Answered], scorer: Scorer, model: Answering) -> None:
    """Draw the answers, the best first: which there are, and one of them in full."""
    _renewal(answers, scorer, model)
    chosen = _chosen(answers)
    rating = chosen.rating
    picture, words = st.columns([3, 2], gap="medium")
    with picture.container(key="rate_picture"):
        st.image(chosen.picture, width="stretch", alt="The rated photo")
        st.text(chosen.name)
    with words:
        st.html(stars(rating.stars))
        sureness = how_sure(rating.sure, rating.familiar, margin_known=scorer.info.sure_margin is not None)
        if rating.sure:
            st.markdown(f"I am {plain(sureness)}.")
        else:
            st.warning(f"**I am not sure.** {_because(sureness)}")
        level = chosen_level()
        st.markdown(plain(sentence(rating)))
        st.html(predictions_table(predictions(rating, scorer.info.labels)))
    show_reasons(chosen, scorer, level)


def _because(sureness: str) -> str:
    reason = sureness.removeprefix("not sure: ")
    return plain(reason[:1].upper() + reason[1:] + ".")


def _chosen(answers: list[Answered]) -> Answered:
    """Draw the choice among several answers; return the one to show."""
    state = st.session_state
    last = len(answers) - 1
    if last == 0:
        return answers[0]
    state[_PLACE] = min(state.get(_PLACE, 0), last)

    def move(step: int) -> None:
        state[_PLACE] = max(0, min(last, state[_PLACE] + step))

    with st.container(key="rate_choice", horizontal=True, vertical_alignment="bottom", gap="small"):
        place = st.selectbox(
            f"{last + 1} photos rated, the best first",
            range(last + 1),
            format_func=lambda index: f"{star_text(answers[index].rating.stars)}  {answers[index].name}",
            key=_PLACE,
        )
        st.button("Previous", shortcut="P", on_click=move, args=(-1,), disabled=place == 0)
        st.button("Next", shortcut="N", on_click=move, args=(1,), disabled=place == last)
    return answers[place]


def _renewal(answers: list[Answered], scorer: Scorer, model: Answering) -> None:
    """Where another model answers by now, say so, and offer to ask it too."""
    before = Answering(answers[0].rating.model, model.folder)
    if before.name == model.name:
        return
    st.info(f"These were rated by {plain(before.words)}. {plain(model.words.capitalize())} answers now.")
    if st.button(f"Rate them again by {plain(model.words)}"):
        renewed = [again(scorer, answered, model.name) for answered in answers]
        st.session_state[_ANSWERS] = sorted(renewed, key=lambda answered: -answered.rating.score)
        st.rerun()

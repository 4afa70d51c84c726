"""The page Label: judge photos by the keyboard or by touch; every click is kept before it counts."""

import zlib
from collections import Counter

import streamlit as st

from photoqual.app import label_keys
from photoqual.app.answering import answering
from photoqual.app.frame import head, kindly, say
from photoqual.app.label_keys import Press, shown_as
from photoqual.app.label_setup import Choice, chosen_desk, chosen_work
from photoqual.app.label_shown import STYLE, advice, marked, standing, standing_shown, title_of
from photoqual.app.label_table import Table, look_of, table_of
from photoqual.app.label_votes import votes_shown
from photoqual.app.options import Options
from photoqual.app.shown import plain
from photoqual.errors import DataError, PhotoqualError, UnreadablePhoto
from photoqual.labels import tournament
from photoqual.labels.desk import Desk, Session
from photoqual.labels.desk_journal import Moved
from photoqual.labels.tournament import Mode, Step

_SESSION, _TOLD = "label_session", "label_told"
_SIDES: dict[Mode, int] = {"tournament": 720, "stars": 1280, "good": 1280}
"""Long side in px at which photos are shown."""
_VALUES: dict[Mode, dict[str, int]] = {
    "tournament": {},
    "stars": {str(value): value for value in range(1, 6)},
    "good": {"g": 1, "b": 0},
}
"""Which key gives which value."""


def render() -> None:
    """Draw the page."""
    top = st.container(
        key="label-head", horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )
    with top:
        head("Label", "")
    st.html(STYLE)
    with kindly():
        desk = chosen_desk()
        if desk is None:
            return
        table = _table(desk)
        with top:
            choice = chosen_work(desk)
        if choice is None:
            return
        session = _session(desk, choice)
        _labelling(session, table, choice)
        votes_shown(desk, table.photos, choice.mode)
        _folder_shown(desk, table)


def _table(desk: Desk) -> Table:
    told = st.empty()

    def progress(count: int) -> None:
        if count % 200 == 0:
            told.caption(f"Looking through the folder: {count:,} files so far …")

    table = table_of(desk, progress, again=st.session_state.pop("label_again", False))
    told.empty()
    return table


def _session(desk: Desk, choice: Choice) -> Session:
    held = st.session_state.get(_SESSION)
    wanted = desk.folder, desk.settings, choice.labeller, choice.mode
    if not isinstance(held, Session) or (held.desk.folder, held.desk.settings, held.labeller, held.mode) != wanted:
        before, held = held, Session(desk, choice.labeller, choice.mode)
        st.session_state[_SESSION] = held
        if before is not None:  # what was pressed until now was meant for that one
            for press in label_keys.presses():
                held.is_new(press.press)
    return held


@st.fragment
def _labelling(session: Session, table: Table, choice: Choice) -> None:
    with kindly():
        if told := st.session_state.pop(_TOLD, None):
            st.warning(told) if isinstance(told, str) else say(told)
        session.refresh()
        taught, about = _taught(session, table, choice)
        pictures = _dealt(session, table, taught)
        if pictures is None:
            _all_done(session, table)
            return
        stands = standing(session, table.photos, table.refused)
        label_keys.listen(_keys(session), stands.words, lambda: _on_presses(session, table))
        if _take(session, table, label_keys.presses()):  # pressed while the server was away
            st.rerun()
        st.html(standing_shown(stands))
        _photos(session, table, pictures)
        _buttons(session, table)
        st.caption(f"{advice(session.mode)} {about}")
        _prepare(session, table, taught)


def _taught(session: Session, table: Table, choice: Choice) -> tuple[list[str] | None, str]:
    """Return the order in which a model would have the photos labelled, None for a shuffled one, and words on it."""
    if not choice.by_model:
        return None, "Photos come in a shuffled order."
    try:
        model = answering(Options().model)
        labelled = list(session.progress.drawn)
        look = look_of(session.desk, table, model.folder, labelled)
    except PhotoqualError as error:
        return (
            None,
            f"Photos come in a shuffled order, for no model can say what would teach it: {plain(error.message)}",
        )
    if look.problem:
        return None, f"Photos come in a shuffled order, for no model can say what would teach it: {plain(look.problem)}"
    taught = look.order(labelled)
    if taught is None:
        return (
            None,
            f"Photos come in a shuffled order until the model has looked at some ({look.count} of {look.total}).",
        )
    return taught, f"First come photos that would teach {plain(model.words)} most, every fifth is drawn at random."


def _dealt(session: Session, table: Table, taught: list[str] | None) -> dict[str, bytes] | None:
    """Return the pictures of the photos that are dealt now; None when there are none left. A photo that cannot be shown
    is put away, and another one dealt.
    """
    while True:
        try:
            session.deal(table.photos, list(table.refused), taught)
        except Moved:
            continue
        if session.progress.deal is None:
            return None
        found: dict[str, bytes] = {}
        table.pictures.prepare(session.progress.deal.photos, _SIDES[session.mode])
        for photo in session.progress.deal.photos:
            try:
                found[photo] = table.pictures.get(photo, _SIDES[session.mode])
            except UnreadablePhoto as problem:
                if not table.photos.top.is_dir():
                    raise DataError(
                        f"{table.photos.top} is gone.", next_step="Bring the folder back, and reload the page."
                    ) from None
                table.refused[photo] = problem.reason
        if len(found) == len(session.progress.deal.photos):
            return found


def _photos(session: Session, table: Table, pictures: dict[str, bytes]) -> None:
    several = session.mode == "tournament"
    with st.container(key="label-several" if several else "label-one"):
        for number, (photo, picture) in enumerate(pictures.items(), start=1):
            chosen = photo in session.progress.chosen
            with st.container(key=f"label-photo-{number}{'-chosen' if chosen else ''}"):
                name = table.photos.paths[photo]
                st.image(picture, alt=f"Photo {number}: {name}" if several else name, width="stretch")
                if several:
                    st.button(
                        marked(number, chosen),
                        key=f"label-toggle-{number}-{_deal_of(session)}",  # a late click finds another button, or none
                        type="primary" if chosen else "secondary",
                        width="stretch",
                        on_click=_on_click,
                        args=(session, table, _deal_of(session), str(number)),
                    )
                with st.container(key=shown_as(number, _deal_of(session))):
                    st.text(name)


def _buttons(session: Session, table: Table) -> None:
    with st.container(key="label-buttons", horizontal=True):
        for key, title in title_of(session.mode, session.progress.chosen).items():
            st.button(
                title,
                key=f"label-key-{key.strip() or 'Space'}-{_deal_of(session)}",
                type="primary" if key == "Enter" else "secondary",
                disabled=key == "u" and not session.progress.can_undo(),
                on_click=_on_click,
                args=(session, table, _deal_of(session), key),
            )


def _keys(session: Session) -> list[str]:
    numbers = [str(number) for number in range(1, session.desk.settings.at_once + 1)]
    own = [*numbers, "Enter", " "] if session.mode == "tournament" else [*_VALUES[session.mode], "s"]
    return [*own, "u", "Backspace"]


def _deal_of(session: Session) -> int:
    """Return what tells the photos that are dealt from all other deals of all labellers, 0 where there are none; a number
    that a browser can hold.
    """
    if session.progress.deal is None:
        return 0
    journal = f"{session.desk.folder.resolve()}\0{session.labeller}\0{session.mode}".encode()
    return (zlib.crc32(journal) << 20) + session.progress.deal.line


def _on_click(session: Session, table: Table, deal: int, key: str) -> None:
    _take(session, table, [Press("", key, deal)])


def _on_presses(session: Session, table: Table) -> None:
    _take(session, table, label_keys.presses())


def _take(session: Session, table: Table, presses: list[Press]) -> bool:
    """Keep what was pressed for the photos that are dealt, what was pressed for others is past; return whether anything
    was.
    """
    counted = False
    try:
        for press in presses:
            if press.press and not session.is_new(press.press):
                continue
            step = _step(session, press)
            if step is not None and press.deal == _deal_of(session):
                counted |= session.click(step, table.photos)
    except Moved:
        st.session_state[_TOLD] = "These labels were changed in another window. This is how they stand now."
    except PhotoqualError as error:
        st.session_state[_TOLD] = error
    return counted or _TOLD in st.session_state


def _step(session: Session, press: Press) -> Step | None:
    """Return what a key means now, None where it means nothing."""
    dealt = session.progress.deal.photos if session.progress.deal else ()
    name = press.press or None
    if press.key in ("u", "Backspace"):
        return Step("undo", press=name)
    if session.mode != "tournament":
        if press.key == "s":
            return Step("skip", press=name)
        value = _VALUES[session.mode].get(press.key)
        return Step("rate", photo=dealt[0], value=value, press=name) if dealt and value is not None else None
    if press.key in ("Enter", " "):
        return Step("advance", press=name)
    place = int(press.key) - 1 if press.key.isdecimal() else -1
    return Step("toggle", photo=dealt[place], press=name) if 0 <= place < len(dealt) else None


def _prepare(session: Session, table: Table, taught: list[str] | None) -> None:
    """Have the next pictures made, and those that are made already fetched by the browser, unseen."""
    side = _SIDES[session.mode]
    ahead = session.ahead(table.photos, list(table.refused), taught)
    table.pictures.prepare(ahead, side)
    with st.container(key="label-ahead"):
        for picture in table.pictures.ready(ahead, side):
            st.image(picture, alt="", width="stretch")


def _all_done(session: Session, table: Table) -> None:
    if not table.photos.paths:
        st.info(f"There is no photo in {plain(str(table.photos.top))} that can be shown.")
        return
    st.html(standing_shown(standing(session, table.photos, table.refused)))
    st.success(f"All {len(tournament.votes(session.progress)):,} photos that can be labelled have their label.")
    st.button(
        "Undo (u)",
        key="label-key-u",
        disabled=not session.progress.can_undo(),
        on_click=_on_click,
        args=(session, table, 0, "u"),
    )
    label_keys.listen(["u", "Backspace"], "All photos are labelled.", lambda: _on_presses(session, table))


def _folder_shown(desk: Desk, table: Table) -> None:
    passed = table.photos.skipped + _counted(table.refused)
    with st.expander(f"The folder: {len(table.photos.paths):,} photos, {passed.total():,} files passed over"):
        st.text(f"Photos: {table.photos.top}\nLabels: {desk.folder.resolve()}")
        for reason, count in passed.most_common():
            st.text(f"{count:,} {reason.replace('_', ' ')}")
        st.button("Look through the folder again", on_click=lambda: st.session_state.update(label_again=True))


def _counted(refused: dict[str, str]) -> Counter[str]:
    return Counter(refused.values())

"""What is labelled, by whom, and how: the choices above the photos."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from photoqual.app.limits import is_loopback
from photoqual.app.options import Options
from photoqual.labels.desk import MODES, NAME, SETTINGS, Desk, open_desk
from photoqual.labels.tournament import Mode

_WORDS: dict[Mode, str] = {"tournament": "Tournament", "stars": "Stars", "good": "Good or bad"}
_ORDERS = {True: "What teaches most", False: "Shuffled"}
_FOLDERS, _NAME = "label_folders", "label-name"


@dataclass(frozen=True)
class Choice:
    """Who labels, how, and whether a model says in which order."""

    labeller: str
    mode: Mode
    by_model: bool


def chosen_desk() -> Desk | None:
    """Return the desk that the app was started with or that was chosen here; None while there is none.

    Folders are chosen here by those alone who sit at this machine: others could look into any folder of it.
    """
    options = Options()
    held = st.session_state.get(_FOLDERS)
    if held is not None:
        return open_desk(*held)
    if options.photos is not None or (options.labels / SETTINGS).is_file():
        return open_desk(options.labels, options.photos)
    if not is_loopback(str(st.get_option("server.address"))):
        st.info("No folder of photos was named. Start the app with `photoqual app --photos FOLDER --labels FOLDER`.")
        return None
    return _asked_for(options)


def _asked_for(options: Options) -> Desk | None:
    """Ask for both folders, and return the desk once they are given."""
    with st.form("label-folders"):
        st.markdown("Which photos are to be labelled? The photos are only read; labels go into a folder of their own.")
        photos = st.text_input("Folder of photos", placeholder="~/Photos/2026").strip()
        labels = st.text_input("Folder for the labels", value=str(options.labels.absolute())).strip()
        if not st.form_submit_button("Open", type="primary"):
            return None
    if not photos or not labels or not Path(photos).expanduser().is_dir():
        st.warning("Name a folder of photos that exists, and one for the labels.")
        return None
    folders = Path(labels).expanduser(), Path(photos)
    open_desk(*folders)
    st.session_state[_FOLDERS] = folders
    return st.rerun()


def chosen_work(desk: Desk) -> Choice | None:
    """Return who labels and how; None until a name is given. The address of the page remembers them."""
    asked = st.query_params
    asked_mode: Mode = next((mode for mode in MODES if mode == asked.get("mode")), "tournament")
    known = str(st.session_state.get(_NAME, asked.get("labeller", ""))).strip()
    with st.popover("Who, how and in which order", icon=":material/tune:") if known else st.container():
        name = st.text_input(
            "Your short name",
            value=asked.get("labeller", ""),
            key=_NAME,
            max_chars=40,
            help="Each labeller has labels of their own." + _known(desk),
        )
        mode = st.segmented_control(
            "How",
            MODES,
            key="label-mode",
            default=asked_mode,
            format_func=lambda mode: _WORDS[mode],
            required=True,
        )
        by_model = st.segmented_control(
            "Order",
            list(_ORDERS),
            key="label-order",
            default=asked.get("order") != "shuffled",
            format_func=lambda by_model: _ORDERS[by_model],
            required=True,
        )
    name = name.strip().lower()
    if not name:
        st.info("Give your name to begin, or to go on where you were.")
        return None
    if not NAME.fullmatch(name):
        st.warning("A short name has up to 40 of the letters a to z, digits, - and _; a letter or digit comes first.")
        return None
    told = {"labeller": name, "mode": mode, "order": "model" if by_model else "shuffled"}
    if asked.to_dict() != told:
        asked.from_dict(told)
    return Choice(name, mode or asked_mode, bool(by_model))


def _known(desk: Desk) -> str:
    names = desk.labellers()
    return f" So far: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}." if names else ""

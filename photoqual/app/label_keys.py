"""Keys for the label page: a component without looks that tells the server every key press, in order and once.

A shortcut of a button would not do: Streamlit puts clicks that come quickly after one another together, without their
order, and a click counts for what the server shows by then. Here each press carries its number and the deal that was on
the screen (a press while the pictures change is for neither), so that none is lost, none counts twice (not even when the server was killed after it had kept one), and none
is taken for photos that nobody has seen. A focused button keeps Enter and Space to itself; after a click with the mouse
it loses the focus.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import streamlit as st

KEY = "label_keys"
_HTML = '<div role="status" aria-live="polite"></div>'
_CSS = (
    "div { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }"
)
_JS = r"""
const pages = new WeakMap();
const typed = "input, textarea, select, [contenteditable], [role=textbox], [role=combobox]";
const shown = "[class*=st-key-label-shown-]";
const photo = "[class*=st-key-label-photo-]";
const pressable = "button, a, summary, [role=button], [role=option], [role=radio], [role=tab]";

const dealShown = () => {
  const places = [...document.querySelectorAll(shown)];
  const deals = new Set(places.map((place) => Number(place.className.match(/st-key-label-shown-\d+-(\d+)/)[1])));
  const whole = places.every((place) => place.closest(photo)?.querySelector("img")?.complete);
  return deals.size > 1 || !whole ? null : deals.size ? [...deals][0] : 0;
};

export default function ({ data, parentElement, setStateValue }) {
  let page = pages.get(parentElement);
  if (!page) {
    page = { origin: Math.random().toString(36).slice(2, 12), number: 0, presses: [] };
    pages.set(parentElement, page);
  }
  page.data = data;
  page.send = setStateValue;
  parentElement.querySelector("[role=status]").textContent = data.status;
  if (page.listening) return page.stop;
  const onKey = (event) => {
    const focused = event.target instanceof Element ? event.target : document.body;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !page.data.keys.includes(key)) return;
    if (focused.closest(typed)) return;
    if ((key === "Enter" || key === " ") && focused.closest(pressable)) return;
    event.preventDefault();
    const deal = dealShown();
    if (deal === null) return;
    page.number += 1;
    page.presses = [...page.presses.slice(-49), { press: `${page.origin}:${page.number}`, key, deal }];
    page.send("presses", page.presses);
  };
  const onClick = (event) => {
    if (event.detail > 0 && event.target instanceof Element) event.target.closest(pressable)?.blur();
  };
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  page.listening = true;
  page.stop = () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("click", onClick);
    page.listening = false;
  };
  return page.stop;
}
"""


@dataclass(frozen=True)
class Press:
    """A key press: which one it was (`origin:number`), its key, and the deal that was on the screen."""

    press: str
    key: str
    deal: int


def shown_as(number: int, deal: int) -> str:
    """Return the key of a container below picture `number` (from 1) of `deal`, by which a press finds what it is for. It
    must be drawn after the picture: once it is there, so is the picture.
    """
    return f"label-shown-{number}-{deal}"


def listen(keys: list[str], status: str, on_press: Callable[[], None]) -> None:
    """Listen for `keys`, and read `status` aloud when it changes. `on_press` is called when there are presses to take
    (`presses`).
    """
    _component()(
        key=KEY,
        data={"keys": keys, "status": status},
        default={"presses": []},
        on_presses_change=on_press,
    )


def presses() -> list[Press]:
    """Return the newest presses in their order; a browser may send them more than once, or send anything."""
    state: Any = st.session_state.get(KEY)
    sent = state.get("presses") if isinstance(state, Mapping) else getattr(state, "presses", None)
    found = []
    for press in sent if isinstance(sent, list) else []:
        if isinstance(press, Mapping) and isinstance(press.get("deal"), int | float):
            origin, _, number = str(press.get("press")).rpartition(":")
            if origin.isalnum() and len(origin) <= 12 and number.isdecimal() and len(number) <= 12:
                found.append(Press(f"{origin}:{number}", str(press.get("key")), int(press["deal"])))
    return found


@cache
def _component() -> Any:
    return st.components.v2.component("photoqual_label_keys", html=_HTML, css=_CSS, js=_JS)

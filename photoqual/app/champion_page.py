"""The page *Champion*: which model answers, since when, by which verdict, its card and its report."""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from photoqual.app.answering import Answering, registry_alone
from photoqual.app.champion_facts import Facts, facts_of
from photoqual.app.frame import current_model, head, kindly
from photoqual.app.shown import facts_table, plain
from photoqual.models.info import ModelInfo, read_info
from photoqual.pages.render import decimal, signed, when
from photoqual.registry.store import MODEL_NAME
from photoqual.starter.model import STARTER

_KNOWN_SECONDS = 5
_REPORT_PIXELS = 800
_HEADINGS = re.compile(r"^#+ ", re.MULTILINE)
"""Those of the card, which stand below the headings of the page."""


def render() -> None:
    """Draw the page."""
    head("Champion", "Which model answers here, since when, and why it was chosen.")
    model = current_model()
    with kindly():
        info = read_info(model.folder)
    number = model.version
    if number is None or not model.name.startswith(f"models:/{MODEL_NAME}/"):
        _unregistered(model, info)
        return
    with kindly():
        facts = _known(number)
    st.header(f"Version {number}")
    st.html(facts_table("In short", _in_short(facts, info)))
    if reason := facts.entry.get("reason"):
        st.markdown(f"**Verdict.** {plain(reason)}")
    _documents(number, facts)
    _newest(facts)


@st.cache_data(ttl=_KNOWN_SECONDS, max_entries=4, show_spinner="Asking the registry …")
def _known(number: str) -> Facts:
    with registry_alone():
        return facts_of(number)


def _unregistered(model: Answering, info: ModelInfo) -> None:
    """Show what a model says of itself that was never judged against another."""
    if model.name == STARTER:
        st.info(
            "The starter is what rates before anything was trained. Train a champion of your own: "
            "`dvc repro`, `photoqual register`, `photoqual promote`."
        )
    st.html(facts_table(model.words.capitalize(), _of_itself(info)))


def _in_short(facts: Facts, info: ModelInfo) -> list[tuple[str, str]]:
    """Return what is known of a registered version, as (name, value)."""
    told = []
    if facts.since is not None:
        told.append(("Champion since", f"{when(facts.since.at)}, {facts.since.event} by {facts.since.by}"))
    elif facts.entry["aliases"]:
        told.append(("Aliases", ", ".join(facts.entry["aliases"])))
    told.append(("Registered", when(facts.entry.get("registered_at"))))
    if decision := facts.entry.get("decision"):
        against = facts.entry.get("against")
        told.append(("Verdict", decision.replace("_", " ") + (f", against version {against}" if against else "")))
    return [*told, *_figures(facts.entry["numbers"]), *_of_itself(info)]


def _figures(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of a verdict on the frozen test set."""
    told = []
    if numbers.get("challenger_auc") is not None:
        photos = numbers.get("photos")
        told.append(
            ("AUC on the frozen photos", decimal(numbers["challenger_auc"]) + (f", {photos} photos" if photos else ""))
        )
    if numbers.get("champion_auc") is not None:
        told.append(("AUC of the champion before", decimal(numbers["champion_auc"])))
    if numbers.get("delta_auc_low") is not None:
        told.append(("Better by", f"{signed(numbers['delta_auc'])}, at least {signed(numbers['delta_auc_low'])}"))
    return told


def _of_itself(info: ModelInfo) -> list[tuple[str, str]]:
    return [
        ("Kind", f"{info.kind}, head {info.head}" + (f", {info.backbone}" if info.backbone else "")),
        ("Trained on", f"{info.train_photos} photos, validated on {info.validation_photos}"),
        ("AUC in validation", decimal(info.validation_auc)),
        ("Good from", f"a score of {decimal(info.threshold)}"),
        ("Sure", "never" if info.sure_margin is None else f"from {info.sure_margin:.2f} off that"),
    ]


def _documents(number: str, facts: Facts) -> None:
    """Draw the model card and the report of the verdict."""
    if facts.card:
        with st.expander("The model card"):
            st.markdown(_HEADINGS.sub(r"##\g<0>", facts.card))
    if facts.report:
        with st.expander("The report of its verdict"):
            st.iframe(facts.report, height=_REPORT_PIXELS)
        st.download_button(
            "Download the report", facts.report, file_name=f"photoqual-version-{number}.html", mime="text/html"
        )


def _newest(facts: Facts) -> None:
    st.subheader("The newest versions")
    rows = [
        {
            "Version": row["version"],
            "Registered": when(row["registered_at"]),
            "Verdict": (row["decision"] or "not judged").replace("_", " "),
            "Aliases": ", ".join(row["aliases"]).replace("_", " "),
            "AUC": decimal(row["numbers"].get("challenger_auc")),
        }
        for row in facts.newest
    ]
    st.table(rows, hide_index=True, alt="The newest versions of the registry with their verdicts")

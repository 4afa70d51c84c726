"""Below the photos: how far labellers agree, and how the labels come to train a model."""

import streamlit as st

from photoqual.app.shown import plain
from photoqual.errors import MissingData
from photoqual.labels import desk_export, desk_status, tournament
from photoqual.labels.desk import Desk
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import Mode


def votes_shown(desk: Desk, photos: Photos, mode: Mode) -> None:
    """Draw both; they are worked out when they are asked for."""
    with st.expander("Labellers and how far they agree"):
        if st.button("Work it out", key="label-agree"):
            _agreement(desk, mode)
    with st.expander("Train on these labels"):
        st.markdown(
            "Writes the votes that are final to a table beside the labels, which a source of kind `votes` reads. "
            "Write it again whenever you have labelled more; the next refresh takes it in."
        )
        if st.button("Write the votes", key="label-export"):
            _export(desk, photos, mode)


def _agreement(desk: Desk, mode: Mode) -> None:
    for name, progress in desk.all_progress(mode).items():
        st.text(f"{name}: {len(tournament.votes(progress)):,} photos with a final label")
    found = desk_status.agreement_of(desk, mode)
    value = found["krippendorff_alpha"]
    told = "" if value is None else f"{value:.2f}, "
    st.markdown(
        f"**Krippendorff's alpha: {told}{found['meaning']}** ({found['photos_labelled_by_two_or_more']:,} photos "
        "labelled by two or more; 1 is perfect, 0 is chance; 0.8 is reliable, 0.667 tentative)"
    )
    if found["split_half"] is not None:
        st.text(f"Split-half agreement of the mean votes: {found['split_half']:.2f}")
    for pair, alpha in found["pairs"].items():
        st.text(f"{pair}: {'cannot be told yet' if alpha is None else f'{alpha:.2f}'}")


def _export(desk: Desk, photos: Photos, mode: Mode) -> None:
    out = desk.folder / f"votes-{mode}.csv"
    try:
        done = desk_export.export(desk, photos, out, mode)
    except MissingData as error:
        st.info(plain(str(error)))
        return
    left_out = "".join(f"; {count:,} {reason.replace('_', ' ')}" for reason, count in done.left_out.items())
    st.success(f"{done.votes:,} votes on {done.photos:,} photos{left_out}. Have this in `params.yaml`:")
    st.code(desk_export.params_lines(desk, out, mode), language="yaml")
    st.download_button("Download the table", out.read_bytes(), file_name=out.name, mime="text/csv", on_click="ignore")

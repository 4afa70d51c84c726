"""The script that Streamlit runs for every interaction: the pages, and what surrounds them."""

import streamlit as st

from photoqual.app import champion_page, label_page, rate_page, taste_page

st.set_page_config(page_title="photoqual", page_icon="⭐", layout="wide")  # other icons are fetched from afar
pages = [
    st.Page(rate_page.render, title="Rate my photo", icon=":material/star:", url_path="rate", default=True),
    st.Page(label_page.render, title="Label", icon=":material/label:", url_path="label"),
    st.Page(taste_page.render, title="Taste", icon=":material/favorite:", url_path="taste"),
    st.Page(champion_page.render, title="Champion", icon=":material/trophy:", url_path="champion"),
]
st.navigation(pages, position="top").run()

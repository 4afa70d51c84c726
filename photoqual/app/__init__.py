"""The app in a browser: rate photos, label them, teach a taste, look at the champion. Streamlit; extra `app`."""

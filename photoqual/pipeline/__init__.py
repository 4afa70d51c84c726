"""The workspace (git and DVC) and the stages as Airflow tasks."""

"""The validate stage: Great Expectations over the catalog and the labels; a failure stops everything after it.

The report is written whatever the outcome. data/accepted.json is rewritten only when every expectation holds, so a
refused catalog never becomes what the next one is compared with.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from photoqual import files
from photoqual.config import Params
from photoqual.errors import DataError, ValidationFailed
from photoqual.labels.rules import read_labels
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.validation import report, suites
from photoqual.validation.distribution import Distribution, distribution, parse_accepted

log = logging.getLogger(__name__)

_NOISY = ("great_expectations", "great_expectations.data_context.types.base")


def validate(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the validate stage. Return what was checked, or raise ValidationFailed that names each failed expectation,
    what was observed and what was expected.
    """
    catalog, labels = read_catalog(layout.catalog), read_labels(layout)
    accepted, now = _read_accepted(layout.accepted), distribution(labels)
    notes = _notes(accepted, now)
    frames = {"catalog": suites.catalog_frame(catalog), "labels": suites.labels_frame(labels, catalog)}
    with report.replaced_folder(layout.validation) as folder:
        with _quiet():
            expectations = {
                "catalog": suites.catalog_expectations(params.validation, datetime.now(UTC)),
                "labels": suites.labels_expectations(params.validation, accepted, now),
            }
            outcomes = _check(frames, expectations, folder / report.DOCS)
        report.write_report(folder, outcomes, notes)
    for item in outcomes:
        if not item.ok and item.warning:
            log.warning("%s", item.sentence())
    failed = [item for item in outcomes if item.stops]
    index = layout.validation / report.INDEX
    if failed:
        raise _refusal(failed, len(outcomes), index)
    if accepted != now:
        files.write_json(layout.accepted, now.model_dump(mode="json"))
    labelled = sum(now.classes.values())
    return {
        "photos": len(catalog),
        "labelled": labelled,
        "good_share": round(now.classes["good"] / labelled, 6),
        "expectations": len(outcomes),
        "warnings": [item.sentence() for item in outcomes if not item.ok],
        "notes": notes,
        "report": str(index),
    }


def _read_accepted(path: Path) -> Distribution | None:
    """Read data/accepted.json; None when nothing was accepted yet."""
    try:
        return parse_accepted(files.read_json(path), origin=str(path)) if path.exists() else None
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON: {error}.", next_step="Restore it with `dvc checkout data/accepted.json`."
        ) from None


def _notes(accepted: Distribution | None, now: Distribution) -> list[str]:
    """Say which comparisons were left out, and why."""
    if accepted is None:
        return ["Nothing was accepted before: the distributions of stars and classes become the reference, uncompared."]
    if now.stars is None or accepted.stars is None:
        return [
            f"Stars were not compared: no photo has votes {'now' if now.stars is None else 'in the last accepted data'}."
        ]
    return []


def _check(frames: dict[str, pd.DataFrame], expectations: dict[str, Any], docs: Path) -> list[report.Outcome]:
    """Run the expectations over the frames, write the Data Docs into `docs`, return an outcome per expectation, in the
    order of their declaration.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.list_data_docs_sites()):
        context.delete_data_docs_site(site)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    site_config = {
        "class_name": "SiteBuilder",
        "store_backend": store,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("photoqual", site_config)
    tables = context.data_sources.add_pandas("photoqual")
    outcomes: list[report.Outcome] = []
    for table, frame in frames.items():
        suite = context.suites.add(gx.ExpectationSuite(name=table, expectations=expectations[table]))
        batch = tables.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=suite))
        result = definition.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": 5},
        )
        declared = [item.meta["name"] for item in expectations[table]]
        found = sorted(
            (report.outcome(table, item) for item in result.results), key=lambda item: declared.index(item.name)
        )
        log.info(
            "%s: %d of %d expectations hold over %d rows", table, sum(item.ok for item in found), len(found), len(frame)
        )
        outcomes += found
    context.build_data_docs(site_names=["photoqual"])
    return outcomes


def _refusal(failed: list[report.Outcome], checked: int, index: Path) -> ValidationFailed:
    sentences = "; ".join(item.sentence() for item in failed)
    look = f"Open {index}"
    if all(item.broken for item in failed):
        next_step = f"{look}: the check itself broke, the data may be fine; report this."
    elif any(item.table == "labels" for item in failed):
        next_step = f"{look} and look at the votes of the newest photos; if the change is deliberate, change `validation` in params.yaml."
    else:
        next_step = f"{look} and mend the source that these rows came from; if they are right, change `validation` in params.yaml."
    return ValidationFailed(
        f"Validation refused the data, {len(failed)} of {checked} expectations failed: {sentences}.",
        next_step=next_step,
        report=str(index),
        failed=[
            {"name": item.name, "observed": item.observed, "expected": item.expected, "broken": item.broken}
            for item in failed
        ],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations from sending usage statistics and from filling stderr; its errors stay."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations  # noqa: F401 - one of its loggers sets a level of its own when it is imported

        noisy = [logging.getLogger(name) for name in _NOISY]
        before = [logger.level for logger in noisy]
        try:
            for logger in noisy:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(noisy, before, strict=True):
                logger.setLevel(level)

"""Great Expectations at work: run suites over frames, write the Data Docs, hand back the results."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

_NOISY = ("great_expectations", "great_expectations.data_context.types.base")


def check(
    frames: Mapping[str, pd.DataFrame], suites: Mapping[str, Sequence[Any]], docs: Path
) -> dict[str, dict[str, Any]]:
    """Run the expectations of each table over its frame and write the Data Docs into `docs`. Return the results by
    table and by the name in the expectation's meta.
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
    found: dict[str, dict[str, Any]] = {}
    for table, frame in frames.items():
        suite = context.suites.add(gx.ExpectationSuite(name=table, expectations=list(suites[table])))
        batch = tables.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=suite))
        result = definition.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": 5},
        )
        found[table] = {item.expectation_config.meta["name"]: item for item in result.results}
    context.build_data_docs(site_names=["photoqual"])
    return found


@contextmanager
def quiet() -> Iterator[None]:
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

"""The toy studies with their tables, shared by all tests of the report."""

import pytest

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import TABLES, table_names
from heirloom.profiling import BENCHMARKS
from heirloom.report.figures import FIGURES


def _built(results):
    return {name: TABLES.get(name).compute(results) for name in table_names(results.plan)}


@pytest.fixture(scope="session")
def study(study_folder):
    return load_results(study_folder)


@pytest.fixture(scope="session")
def built(study):
    return _built(study)


@pytest.fixture(scope="session")
def wide(wide_study_folder):
    return load_results(wide_study_folder)


@pytest.fixture(scope="session")
def wide_built(wide):
    return _built(wide)


@pytest.fixture
def registries(monkeypatch):
    """Let a test register benchmarks, tables and figures that no other test sees."""
    for registry in (BENCHMARKS, TABLES, FIGURES):
        registry.names()  # those that there are
        monkeypatch.setattr(registry, "_components", dict(registry._components))
        monkeypatch.setattr(registry, "_sources", dict(registry._sources))

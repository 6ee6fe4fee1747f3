"""Scores as pages: one HTML document that needs nothing but itself, and the tables in it."""

from panloom.run.page._analysis import analysis_page
from panloom.run.page._bench import bench_page
from panloom.run.page._evaluation import evaluation_page
from panloom.run.page._explanation import explanation_page
from panloom.run.page._tables import (
    DASH,
    Cell,
    Column,
    Row,
    Table,
    general_label,
    mean_table,
    once,
    score_table,
    sensor_table,
)

__all__ = [
    "DASH",
    "Cell",
    "Column",
    "Row",
    "Table",
    "analysis_page",
    "bench_page",
    "evaluation_page",
    "explanation_page",
    "general_label",
    "mean_table",
    "once",
    "score_table",
    "sensor_table",
]

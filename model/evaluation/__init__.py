"""How good a ranking is: lists over all items, metrics of each user, and intervals for differences."""

from model.evaluation.bootstrap import Interval, bootstrap_interval
from model.evaluation.items_by_user import NO_USER, ItemsByUser
from model.evaluation.metrics import (
    average_precision_at_k,
    coverage,
    first_hit_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from model.evaluation.ranking import NO_ITEM, ScoreBatch, rank_users
from model.evaluation.report import Report, evaluate, evaluate_rows
from model.evaluation.spotlight import FLOAT_MAX, mrr_score, precision_recall_score, rmse_score
from model.evaluation.temporal import TemporalSplit, Window, temporal_split

__all__ = [
    "FLOAT_MAX",
    "NO_ITEM",
    "NO_USER",
    "Interval",
    "ItemsByUser",
    "Report",
    "ScoreBatch",
    "TemporalSplit",
    "Window",
    "average_precision_at_k",
    "bootstrap_interval",
    "coverage",
    "evaluate",
    "evaluate_rows",
    "first_hit_reciprocal_rank",
    "mrr_score",
    "ndcg_at_k",
    "precision_at_k",
    "precision_recall_score",
    "rank_users",
    "recall_at_k",
    "rmse_score",
    "temporal_split",
]

"""How good a ranking is: lists over all items, metrics of each user, and intervals for differences."""

from model.evaluation.bootstrap import Interval, bootstrap_interval
from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.metrics import ndcg_at_k, recall_at_k
from model.evaluation.ranking import NO_ITEM, ScoreBatch, rank_users
from model.evaluation.spotlight import FLOAT_MAX, mrr_score, precision_recall_score, rmse_score

__all__ = [
    "FLOAT_MAX",
    "NO_ITEM",
    "Interval",
    "ItemsByUser",
    "ScoreBatch",
    "bootstrap_interval",
    "mrr_score",
    "ndcg_at_k",
    "precision_recall_score",
    "rank_users",
    "recall_at_k",
    "rmse_score",
]

"""How good a ranking is: lists over all items, metrics of each user, and intervals for differences."""

from model.evaluation.bootstrap import Interval, bootstrap_interval
from model.evaluation.items_by_user import ItemsByUser
from model.evaluation.metrics import ndcg_at_k, recall_at_k
from model.evaluation.ranking import NO_ITEM, ScoreBatch, rank_users

__all__ = [
    "NO_ITEM",
    "Interval",
    "ItemsByUser",
    "ScoreBatch",
    "bootstrap_interval",
    "ndcg_at_k",
    "rank_users",
    "recall_at_k",
]

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model import BilinearNet, ImplicitFactorizationModel, Interactions, NotFittedError

LOSSES = ["pointwise", "bpr", "hinge", "adaptive_hinge", "log_bpr", "logistic", "warp", "softmax"]
USERS, ITEMS = 7, 11


def some_interactions(count: int = 60, seed: int = 0) -> Interactions:
    drawn = np.random.RandomState(seed)
    return Interactions(
        drawn.randint(0, USERS, count), drawn.randint(0, ITEMS, count), num_users=USERS, num_items=ITEMS
    )


def fitted(**settings: Any) -> ImplicitFactorizationModel:
    arguments: dict[str, Any] = {"n_iter": 2, "batch_size": 16, "embedding_dim": 4, "random_state": 3} | settings
    model = ImplicitFactorizationModel(**arguments)
    model.fit(some_interactions())
    return model


def tables(model: ImplicitFactorizationModel) -> list[np.ndarray[Any, Any]]:
    return [model.user_vectors, model.item_vectors, model.user_biases, model.item_biases]


def assert_same_bits(left: ImplicitFactorizationModel, right: ImplicitFactorizationModel) -> None:
    for ours, theirs in zip(tables(left), tables(right), strict=True):
        assert np.array_equal(ours, theirs)


# Arguments


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("loss", "lambdarank", "loss 'lambdarank' is not one of pointwise, bpr, hinge, adaptive_hinge, log_bpr"),
        ("loss", None, "loss None is not one of"),
        ("embedding_dim", 0, "embedding_dim is 0; it must be at least 1"),
        ("n_iter", -1, "n_iter is -1; it must be at least 0"),
        ("batch_size", 0, "batch_size is 0; it must be at least 1"),
        ("num_negative_samples", 0, "num_negative_samples is 0; it must be at least 1"),
        ("l2", -0.1, r"l2 is -0\.1; it must be finite and 0 or more"),
        ("l2", float("nan"), "l2 is nan"),
        ("negatives", "hard", "negatives 'hard' is not one of uniform, popularity"),
        ("negative_alpha", -0.5, r"negative_alpha is -0\.5"),
        ("learning_rate", float("inf"), "learning_rate is inf"),
        ("learning_rate", -1, r"learning_rate is -1\.0"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_random_state_is_touched(
    argument: str, value: object, message: str
) -> None:
    source = np.random.RandomState(1)
    with pytest.raises(ValueError, match=message):
        ImplicitFactorizationModel(**{argument: value, "random_state": source})  # type: ignore[arg-type]  # on purpose
    assert source.randint(1000) == np.random.RandomState(1).randint(1000)


def test_a_fractional_count_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        ImplicitFactorizationModel(embedding_dim=2.5)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused() -> None:
    with pytest.raises(ValueError, match="use_cuda is set, but torch sees no CUDA device"):
        ImplicitFactorizationModel(use_cuda=True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"device": "gpu"}, "device 'gpu' is not cpu, cuda or cuda:N"),
        ({"device": ["cpu"]}, "is not cpu, cuda or cuda:N"),
        ({"device": "mps"}, "device 'mps' is not cpu, cuda or cuda:N"),
        ({"device": "cpu:1"}, "device 'cpu:1' is not cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "device is 'cuda:99', but torch sees [0-9]+ CUDA devices"),
        ({"device": "cpu", "use_cuda": True}, "use_cuda is set, but device is 'cpu'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ImplicitFactorizationModel(**arguments)


def test_a_device_may_be_named() -> None:
    assert_same_bits(fitted(device="cpu"), fitted())
    assert_same_bits(fitted(device=torch.device("cpu")), fitted())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_a_cuda_device_may_be_named() -> None:
    model = fitted(device="cuda:0")
    assert next(model._fitted().parameters()).device == torch.device("cuda", 0)
    np.testing.assert_array_equal(model.predict(1), fitted(use_cuda=True).predict(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_fit_on_cuda_follows_the_fit_on_the_cpu(loss: str) -> None:
    on_cuda, on_cpu = fitted(loss=loss, use_cuda=True), fitted(loss=loss)
    theirs, ours = on_cuda.predict(1), on_cpu.predict(1)
    if loss == "softmax":
        # It says nothing of what is added to all scores of a user: Adam moves that by the signs of rounding errors.
        theirs, ours = theirs - on_cuda.user_biases[1], ours - on_cpu.user_biases[1]
    np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(on_cuda.loss_history, on_cpu.loss_history, rtol=1e-4)
    assert next(on_cuda._fitted().parameters()).is_cuda


def test_adaptive_hinge_may_be_written_with_a_space() -> None:
    assert_same_bits(fitted(loss="adaptive hinge"), fitted(loss="adaptive_hinge"))


def test_the_name_says_whether_the_model_is_fitted() -> None:
    assert repr(ImplicitFactorizationModel()) == "<ImplicitFactorizationModel: [uninitialised]>"
    model = fitted()
    assert repr(model) == f"<ImplicitFactorizationModel: {model._fitted()!r}>"


# Randomness


@pytest.mark.parametrize("loss", LOSSES)
def test_one_seed_gives_the_same_bits_and_another_does_not(loss: str) -> None:
    assert_same_bits(fitted(loss=loss), fitted(loss=loss))
    assert not np.array_equal(fitted(loss=loss).user_vectors, fitted(loss=loss, random_state=4).user_vectors)


def test_an_integer_is_the_seed_of_a_random_state() -> None:
    assert_same_bits(fitted(random_state=3), fitted(random_state=np.random.RandomState(3)))


def test_a_numpy_generator_is_accepted_and_repeats() -> None:
    assert_same_bits(fitted(random_state=np.random.default_rng(9)), fitted(random_state=np.random.default_rng(9)))


def test_torchs_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fitted()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same_bits(fitted(), first)


def test_a_model_built_in_between_changes_nothing() -> None:
    model = ImplicitFactorizationModel(n_iter=2, batch_size=16, embedding_dim=4, random_state=3)
    fitted(random_state=99)
    model.fit(some_interactions())
    assert_same_bits(model, fitted())


# Resuming


@pytest.mark.parametrize("settings", [{}, {"sparse": True}, {"exclude_positives": True}, {"use_weights": True}])
@pytest.mark.parametrize("loss", LOSSES)
def test_two_fits_of_one_epoch_equal_one_fit_of_two_bit_for_bit(loss: str, settings: dict[str, bool]) -> None:
    interactions = some_interactions()
    interactions.weights = np.random.RandomState(1).uniform(0.5, 2, len(interactions))
    arguments: dict[str, Any] = {"loss": loss, "batch_size": 16, "embedding_dim": 4, "l2": 1e-3} | settings
    whole = ImplicitFactorizationModel(n_iter=2, random_state=3, **arguments)
    whole.fit(interactions)
    halves = ImplicitFactorizationModel(n_iter=1, random_state=3, **arguments)
    halves.fit(interactions)
    halves.predict(0)
    halves.fit(interactions)
    assert_same_bits(halves, whole)
    assert halves.loss_history == whole.loss_history


def test_a_fit_stopped_by_its_callback_can_be_resumed() -> None:
    stopped = ImplicitFactorizationModel(n_iter=2, batch_size=16, embedding_dim=4, random_state=3)
    stopped.fit(some_interactions(), on_epoch=lambda epoch, loss: True)
    assert len(stopped.loss_history) == 1
    stopped.fit(some_interactions(), on_epoch=lambda epoch, loss: True)
    assert_same_bits(stopped, fitted())


def test_a_pickled_model_resumes_with_the_same_bits() -> None:
    model = fitted()
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301 - made two words before
    model.fit(some_interactions())
    copied.fit(some_interactions())
    assert_same_bits(copied, model)


def test_a_later_fit_may_bring_fewer_users_and_items() -> None:
    model = fitted()
    model.fit(Interactions([0, 1], [0, 1]))
    assert model.predict(USERS - 1).shape == (ITEMS,)


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([USERS], [ITEMS], f"user id {USERS} is outside 0..{USERS - 1}: this model has {USERS} users"),
        ([0], [ITEMS], f"item id {ITEMS} is outside 0..{ITEMS - 1}: this model has {ITEMS} items"),
    ],
)
def test_a_later_fit_with_an_id_beyond_the_model_changes_nothing(
    users: list[int], items: list[int], message: str
) -> None:
    model, twin = fitted(), fitted()
    with pytest.raises(ValueError, match=message):
        model.fit(Interactions(users, items))
    assert_same_bits(model, twin)
    model.fit(some_interactions())
    twin.fit(some_interactions())
    assert_same_bits(model, twin)


def test_ids_changed_to_negative_after_the_check_are_refused_before_initialisation() -> None:
    interactions = some_interactions()
    interactions.item_ids[3] = -1
    model = ImplicitFactorizationModel(random_state=3)
    with pytest.raises(ValueError, match=r"item id -1 is outside 0\.\.10"):
        model.fit(interactions)
    assert "uninitialised" in repr(model)


# Prediction


def test_all_forms_give_the_same_bits_for_the_same_pair() -> None:
    model = fitted(embedding_dim=5)
    everything = model.predict(2)
    assert everything.shape == (ITEMS,)
    assert everything.dtype == np.float32
    for item in range(ITEMS):
        for single in (model.predict(2, item), model.predict([2], [item]), model.predict(np.int64(2), float(item))):
            assert single.shape == (1,)
            assert single[0] == everything[item]
    order = [3, 0, 3, 10]
    assert np.array_equal(model.predict(2, order), everything[order])
    assert np.array_equal(model.predict([2] * 4, order), everything[order])
    assert np.array_equal(model.predict(np.array([2]), None), everything)
    assert np.array_equal(model.predict(2.0, np.array(order, dtype=np.float32)), everything[order])


def test_pairs_are_scored_in_order_and_flattened() -> None:
    model = fitted()
    users, items = np.array([[0, 1], [6, 0]]), np.array([[5, 10], [0, 5]])
    expected = [model.predict(int(u))[i] for u, i in zip(users.ravel(), items.ravel(), strict=True)]
    assert model.predict(users, items).tolist() == expected


def test_as_many_users_as_items_are_pairs_only_when_items_are_given() -> None:
    model = fitted()
    everyone = np.arange(ITEMS) % USERS
    assert model.predict(everyone, np.arange(ITEMS)).shape == (ITEMS,)
    with pytest.raises(ValueError, match=f"{ITEMS} users and no items: give one user alone"):
        model.predict(everyone)


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0, 1], None, "2 users and no items: give one user alone"),
        ([0, 1], [3], "2 users and 1 items: give one user alone"),
        ([0, 1], 3, "2 users and 1 items"),
        ([0, 1, 2], [3, 4], "3 users and 2 items"),
        (7, None, r"user id 7 is outside 0\.\.6: this model has 7 users"),
        (-1, None, r"user id -1 is outside 0\.\.6"),
        (0, [11], r"item id 11 is outside 0\.\.10: this model has 11 items"),
        (0, -1, r"item id -1 is outside 0\.\.10"),
        (0.5, None, r"user id 0\.5 is not a whole number"),
        (0, [1.25], r"item id 1\.25 is not a whole number"),
        ([], None, "no user ids"),
        (0, [], "no item ids"),
    ],
)
def test_a_question_without_an_answer_is_refused_and_says_why(
    users: list[int] | float, items: list[int] | float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fitted().predict(users, items)


def test_string_ids_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="user ids must be whole numbers"):
        fitted().predict("alice")


@pytest.mark.parametrize("error", [NotFittedError, ValueError, RuntimeError])
def test_before_the_first_fit_there_is_nothing_to_read(error: type[Exception]) -> None:
    model = ImplicitFactorizationModel()
    with pytest.raises(error, match="has not been fitted"):
        model.predict(0)
    for name in ("user_vectors", "item_vectors", "user_biases", "item_biases"):
        with pytest.raises(error, match="has not been fitted"):
            getattr(model, name)
    assert model.loss_history == []


# Reading the tables


def test_the_tables_reproduce_the_scores() -> None:
    model = fitted()
    P, Q, b, c = tables(model)
    assert (P.shape, Q.shape, b.shape, c.shape) == ((USERS, 4), (ITEMS, 4), (USERS,), (ITEMS,))
    assert all(table.dtype == np.float32 for table in (P, Q, b, c))
    np.testing.assert_allclose(Q @ P[3] + b[3] + c, model.predict(3), rtol=1e-5, atol=1e-6)


def test_the_tables_and_the_history_are_copies() -> None:
    model = fitted()
    before = model.predict(0)
    for table in tables(model):
        table[:] = 7
    model.loss_history.clear()
    assert np.array_equal(model.predict(0), before)
    assert len(model.loss_history) == 2


# Custom parts


class Dropping(nn.Module):
    """A representation of one's own, with a module that behaves differently in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(USERS * ITEMS, 1)
        self.dropout = nn.Dropout(0.5)
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        self.modes.append((self.training, torch.is_grad_enabled()))
        scores: Tensor = self.dropout(self.table(user_ids * ITEMS + item_ids))
        return scores[:, 0]


def test_a_representation_is_used_itself_and_trains_in_training_mode_after_a_prediction() -> None:
    net = Dropping()
    model = ImplicitFactorizationModel(representation=net, n_iter=1, batch_size=60, random_state=0)
    model.fit(some_interactions())
    model.predict(0)
    model.fit(some_interactions())
    # (training mode, gradients): positives and negatives of a step, a prediction, a step
    assert net.modes == [(True, True)] * 2 + [(False, False)] + [(True, True)] * 2
    assert model._fitted() is net
    assert net.training


def test_a_representation_without_tables_says_so() -> None:
    model = ImplicitFactorizationModel(representation=Dropping(), n_iter=1, random_state=0)
    model.fit(some_interactions())
    with pytest.raises(AttributeError, match=r"Dropping has no table user_embeddings\.weight of 7 rows"):
        _ = model.user_vectors


def test_a_bilinear_representation_has_tables() -> None:
    net = BilinearNet(USERS, ITEMS, 3)
    model = ImplicitFactorizationModel(representation=net, n_iter=1, random_state=0)
    model.fit(some_interactions())
    assert model.item_vectors.shape == (ITEMS, 3)


def test_a_representation_that_returns_a_column_is_refused() -> None:
    class Column(Dropping):
        def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
            return super().forward(user_ids, item_ids)[:, None]

    model = ImplicitFactorizationModel(representation=Column(), batch_size=60, random_state=0)
    with pytest.raises(ValueError, match=r"returned shape \(60, 1\) for 60 pairs, it must be \(60,\)"):
        model.fit(some_interactions())


def test_an_optimizer_function_replaces_adam_its_rate_and_its_penalty() -> None:
    calls = []

    def descent(parameters: Any) -> torch.optim.Optimizer:
        calls.append(parameters)
        return torch.optim.SGD(parameters, lr=0.5)

    model = fitted(optimizer_func=descent, learning_rate=100.0, l2=100.0)
    model.fit(some_interactions())
    assert len(calls) == 1
    assert iter(calls[0]) is calls[0]
    assert isinstance(model._optimizer, torch.optim.SGD)
    assert np.abs(model.user_vectors).max() < 10


def test_an_optimizer_function_that_fails_leaves_the_model_uninitialised() -> None:
    def failing(parameters: Any) -> torch.optim.Optimizer:
        raise KeyError("no optimizer today")

    model = ImplicitFactorizationModel(optimizer_func=failing, random_state=0)
    with pytest.raises(KeyError):
        model.fit(some_interactions())
    assert "uninitialised" in repr(model)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_model_is_independent(copied: Callable[[Any], ImplicitFactorizationModel]) -> None:
    model = fitted()
    before = tables(model)
    copied(model).fit(some_interactions())
    assert len(model.loss_history) == 2
    for now, then in zip(tables(model), before, strict=True):
        assert np.array_equal(now, then)


def test_arrays_that_run_backwards_are_ids_as_any() -> None:
    model = ImplicitFactorizationModel(n_iter=1, random_state=1)
    model.fit(Interactions([0, 1, 1], [0, 1, 2]))
    assert model.predict(0, np.arange(3)[::-1]).tolist() == model.predict(0)[::-1].tolist()

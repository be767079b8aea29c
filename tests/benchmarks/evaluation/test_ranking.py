"""CMC and mAP compared with cases worked by hand, scikit-learn, and a plain walk down the sorted ranking."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from baselines.interface.errors import UserError
from benchmarks.evaluation import ranking
from benchmarks.evaluation.ranking import PROTOCOLS, evaluate, evaluate_features, rank

BOTH = ("rectangle", "trapezoid")


def one_query(gallery, **options):
    """The query shows person 1 in camera 1; `gallery` lists (distance, pid, camid)."""
    distances, pids, camids = (np.array(column) for column in zip(*gallery, strict=True))
    return evaluate(distances[None], np.array([1]), np.array([1]), pids, camids, **options)


# Worked by hand.


@pytest.mark.parametrize(
    ("rule", "expected"), [("rectangle", (1 / 2 + 2 / 3) / 2), ("trapezoid", (1 / 4 + 7 / 12) / 2)]
)
def test_hits_at_ranks_two_and_three(rule, expected):
    # The precision is 0, 1/2, 2/3 at ranks 1, 2, 3.
    result = one_query([(0.3, 1, 2), (0.1, 2, 2), (0.2, 1, 3), (0.4, 3, 1)], average_precision=rule)
    assert result.map == pytest.approx(expected)
    np.testing.assert_allclose(result.average_precision, [expected])
    np.testing.assert_array_equal(result.cmc, [0, 1, 1, 1])
    np.testing.assert_array_equal(result.first_hit_rank, [2])


@pytest.mark.parametrize(
    ("rule", "expected"), [("rectangle", (1 + 2 / 4) / 2), ("trapezoid", (1 + (1 / 3 + 2 / 4) / 2) / 2)]
)
def test_precision_before_rank_one(rule, expected):
    result = one_query([(1, 1, 2), (2, 2, 2), (3, 3, 2), (4, 1, 2)], average_precision=rule)
    assert result.map == pytest.approx(expected)
    np.testing.assert_array_equal(result.cmc, [1, 1, 1, 1])


@pytest.mark.parametrize("rule", BOTH)
def test_all_hits_come_first(rule):
    assert one_query([(1, 1, 2), (2, 1, 3), (3, 1, 2), (4, 2, 2)], average_precision=rule).map == 1


@pytest.mark.parametrize("rule", BOTH)
def test_junk_and_distractors(rule):
    excluded = [(0.1, -1, 2), (0.2, 1, 1), (0.3, -1, 1)]
    distractor, hit = [(0.4, 0, 2)], [(0.5, 1, 2)]
    result = one_query(excluded + distractor + hit, average_precision=rule)
    np.testing.assert_array_equal(result.first_hit_rank, [2])
    assert result.map == {"rectangle": 1 / 2, "trapezoid": 1 / 4}[rule]
    np.testing.assert_array_equal(result.cmc, [0, 1, 1, 1, 1])  # as long as the gallery that was given


def test_ties():
    stranger, hit = (0.5, 2, 2), (0.5, 1, 2)
    np.testing.assert_array_equal(one_query([hit, stranger, stranger]).first_hit_rank, [1])
    np.testing.assert_array_equal(one_query([stranger, hit, stranger]).first_hit_rank, [2])
    np.testing.assert_array_equal(one_query([stranger, stranger, hit]).first_hit_rank, [3])
    assert one_query([hit, stranger, hit]).map == pytest.approx((1 + 2 / 3) / 2)
    assert one_query([(np.inf, 2, 2), (np.inf, 1, 1), (np.inf, 1, 2)]).first_hit_rank == 2


def test_large_labels_stay_apart():
    person = 2**53  # float64 takes it and the next one for the same number
    pids, camids = np.array([person + 1, person]), np.array([2, 2])
    result = evaluate(np.array([[0.1, 0.2]]), np.array([person]), np.array([1]), pids, camids)
    assert result.first_hit_rank.tolist() == [2]


def test_more_tracklets_than_fit_into_a_packed_integer(monkeypatch):
    monkeypatch.setattr(ranking, "COLUMN_BITS", 3)
    monkeypatch.setattr(ranking, "COLUMNS", 8)
    steps = np.r_[
        2, 39:2:-1, 1, 0
    ]  # neighbouring numbers: the last two columns are nearer than the first, which is the hit
    distances = (1 + steps * 2.0**-23).astype(np.float32)[None]
    result = evaluate(distances, np.array([1]), np.array([1]), np.where(np.arange(40), 2, 1), np.full(40, 2))
    assert result.first_hit_rank.tolist() == [3]


def test_distances_that_rounding_makes_equal_are_ties():
    """Whole numbers have exact squared distances, but the square roots of neighbouring ones are equal in float32."""
    draw = np.random.default_rng(0)
    query, gallery = np.zeros((4, 4), np.float32), draw.integers(0, 20, (4000, 4)).astype(np.float32)
    gallery[:, 0] = 4000
    squared = (gallery.astype(int) ** 2).sum(axis=1)
    pids = np.where(
        squared < np.quantile(squared, 0.05), draw.integers(0, 4, len(gallery)), 9
    )  # few are as near as the hits
    labels = np.arange(4), np.zeros(4, int), pids, np.ones(len(gallery), int)
    distances = np.tile(np.sqrt(squared.astype(np.float32)), (4, 1))
    assert len(np.unique(distances)) < 0.7 * len(np.unique(squared))
    found = evaluate_features(query, gallery, *labels, ["standard"])["standard"]
    expected = evaluate(distances.astype(np.float64), *labels)
    np.testing.assert_array_equal(found.average_precision, expected.average_precision)


def test_tiny_distances_are_no_ties():
    far = [(1, 2, 2)] * 30
    gallery = [(2e-10, 1, 2), (1e-10, 2, 2), *far]
    distances, pids, camids = (np.array(column) for column in zip(*gallery, strict=True))
    result = evaluate(distances[None].astype(np.float32), np.array([1]), np.array([1]), pids, camids)
    np.testing.assert_array_equal(result.first_hit_rank, [2])


@pytest.mark.parametrize("row", [3, 45])
def test_row_of_nan_is_named(row):
    distances = np.zeros((50, 4))
    distances[row, 1] = np.nan
    labels = np.ones(50, int), np.ones(50, int), np.ones(4, int), np.full(4, 2)
    with pytest.raises(UserError, match=f"query row {row}: a distance is NaN"):
        evaluate(distances, *labels)


def two_queries_one_unmatched(unmatched):
    return evaluate(
        np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]),
        np.array([1, 2]),
        np.array([1, 1]),
        np.array([3, 1, 2]),
        np.array([2, 2, 1]),  # person 2 is only in the query's camera
        unmatched=unmatched,
    )


def test_unmatched_skipped():
    result = two_queries_one_unmatched("skip")
    assert result.map == 1 / 2
    np.testing.assert_array_equal(result.cmc, [0, 1, 1])
    np.testing.assert_array_equal(result.average_precision, [1 / 2, np.nan])
    np.testing.assert_array_equal(result.first_hit_rank, [2, np.nan])


def test_unmatched_as_zero():
    result = two_queries_one_unmatched("zero")
    assert result.map == 1 / 4
    np.testing.assert_array_equal(result.cmc, [0, 1 / 2, 1 / 2])
    np.testing.assert_array_equal(result.average_precision, [1 / 2, 0])
    np.testing.assert_array_equal(result.first_hit_rank, [2, np.nan])


@pytest.mark.parametrize("gallery", [[(0.1, 2, 2), (0.2, -1, 1), (0.3, 1, 1)], [(0.1, -1, 2)]])
def test_no_match_at_all(gallery):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = one_query(gallery)
    assert np.isnan([result.map, *result.cmc, *result.average_precision, *result.first_hit_rank]).all()
    assert len(result.cmc) == len(gallery)
    assert one_query(gallery, unmatched="zero").map == 0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_empty_gallery_or_queries(kind):
    none, some = np.empty(0, np.int64), np.array([1, 2])
    assert np.isnan(evaluate(np.empty((2, 0), kind), some, some, none, none).map)
    assert np.isnan(evaluate(np.empty((0, 2), kind), none, none, some, some).map)
    for query, gallery in ((2, 0), (0, 2)):
        labels = some[:query], some[:query], some[:gallery], some[:gallery]
        results = evaluate_features(np.ones((query, 3)), np.ones((gallery, 3)), *labels, PROTOCOLS)
        assert all(np.isnan(result.map) for result in results.values())


def test_gallery_of_junk_alone():
    labels, junk = np.array([1, 2]), np.array([-1, -1])
    found = evaluate_features(np.eye(2), np.eye(2), labels, labels, junk, labels, ["standard"])["standard"]
    assert np.isnan(found.first_hit_rank).all()


def test_rank_of_cmc():
    assert [rank(np.array([0.5, 0.75, 1]), k) for k in (1, 2, 3, 20)] == [0.5, 0.75, 1, 1]
    assert np.isnan(rank([], 1))


# Other implementations.


def walk(distances, query_pids, query_camids, gallery_pids, gallery_camids):
    """Per query: a plain walk down the sorted gallery, adding up both average precisions."""
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        areas, seen, position, previous, first = dict.fromkeys(BOTH, 0.0), 0, 0, 1.0, np.nan
        for column in sorted(range(len(row)), key=lambda c, row=row: (row[c], c)):
            if gallery_pids[column] == -1 or (gallery_pids[column] == pid and gallery_camids[column] == camid):
                continue
            position += 1
            hit = gallery_pids[column] == pid
            seen += hit
            precision = seen / position
            if hit:
                first = position if seen == 1 else first
                areas["rectangle"] += precision
                areas["trapezoid"] += (previous + precision) / 2
            previous = precision
        yield {rule: area / seen if seen else np.nan for rule, area in areas.items()}, first


@pytest.mark.parametrize("rule", BOTH)
@pytest.mark.parametrize("seed", range(3))
def test_sorted_reference(random_case, rule, seed):
    distances, *labels = random_case(seed)
    distances = distances // 40  # many ties
    result = evaluate(distances, *labels, average_precision=rule)
    precisions, first = zip(*walk(distances, *labels), strict=True)
    np.testing.assert_allclose(result.average_precision, [each[rule] for each in precisions])
    np.testing.assert_array_equal(result.first_hit_rank, first)
    assert 0 < np.isnan(first).sum() < len(first)
    matched = np.array(first)[~np.isnan(first)]
    np.testing.assert_allclose(result.cmc, [(matched <= k).mean() for k in range(1, len(result.cmc) + 1)])


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn(random_case, seed):
    distances, query_pids, query_camids, gallery_pids, gallery_camids = random_case(seed)
    result = evaluate(distances, query_pids, query_camids, gallery_pids, gallery_camids)
    expected = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        valid = (gallery_pids != -1) & ((gallery_pids != pid) | (gallery_camids != camid))
        hits = gallery_pids[valid] == pid
        expected.append(average_precision_score(hits, -row[valid]) if hits.any() else np.nan)
    np.testing.assert_allclose(result.average_precision, expected)
    assert result.map == pytest.approx(np.nanmean(expected))
    zero = evaluate(distances, query_pids, query_camids, gallery_pids, gallery_camids, unmatched="zero")
    assert zero.map == pytest.approx(np.nansum(expected) / len(expected))


# Properties.


@pytest.mark.parametrize("rule", BOTH)
def test_invariances(assert_same, random_case, rule):
    distances, query_pids, query_camids, gallery_pids, gallery_camids = random_case(7)
    queries, rng = (query_pids, query_camids), np.random.default_rng(0)
    result = evaluate(distances, *queries, gallery_pids, gallery_camids, average_precision=rule)

    order = rng.permutation(len(gallery_pids))
    moved = evaluate(distances[:, order], *queries, gallery_pids[order], gallery_camids[order], average_precision=rule)
    assert_same(result, moved)
    assert_same(result, evaluate(distances * 1e3, *queries, gallery_pids, gallery_camids, average_precision=rule))

    more = np.concatenate([rng.uniform(0, distances.max(), (len(distances), 30)), distances], axis=1)
    pids, camids = np.r_[np.full(30, -1), gallery_pids], np.r_[rng.integers(1, 4, 30), gallery_camids]
    junk = evaluate(more, *queries, pids, camids, average_precision=rule)
    np.testing.assert_array_equal(junk.average_precision, result.average_precision)
    np.testing.assert_array_equal(junk.cmc[: len(result.cmc)], result.cmc)


@pytest.mark.parametrize("junk", [True, False])
def test_cmc_rises_to_one(random_case, junk):
    distances, *labels = random_case(8)
    labels[2] = labels[2] if junk else np.abs(labels[2])
    before = distances.copy()
    cmc = evaluate(distances, *labels).cmc
    assert (np.diff(cmc) >= 0).all()
    assert cmc[-1] == 1
    np.testing.assert_array_equal(distances, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_and_arrays(assert_same, random_case, dtype):
    distances, *labels = random_case(9)
    tensor = torch.tensor(distances).to(dtype)
    if dtype.is_floating_point:
        tensor.requires_grad_()
    same_numbers = tensor.detach().double().numpy()
    assert_same(evaluate(tensor, *map(torch.tensor, labels)), evaluate(same_numbers, *labels))


# Errors.

PAIR = np.array([1, 2])


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.array([[0.1, np.nan], [0.1, 0.2]]), PAIR, PAIR, PAIR, PAIR), {}, "query row 0.*NaN"),
        ((np.ones(2), PAIR, PAIR, PAIR, PAIR), {}, "distances.*shape"),
        ((np.ones((2, 3)), PAIR, PAIR, PAIR, PAIR), {}, "gallery_pids.*3 gallery rows"),
        ((np.ones((2, 2)), PAIR, PAIR[:1], PAIR, PAIR), {}, "query_camids"),
        ((np.ones((2, 2)), PAIR / 2, PAIR, PAIR, PAIR), {}, "query_pids.*whole numbers"),
        (
            (np.ones((2, 2)), PAIR, PAIR, PAIR, PAIR),
            {"average_precision": "trapez"},
            "^no average_precision .*'trapezoid'",
        ),
        ((np.ones((2, 2)), PAIR, PAIR, PAIR, PAIR), {"unmatched": "drop"}, "^no unmatched 'drop'"),
    ],
)
def test_evaluate_errors(arguments, options, words):
    with pytest.raises(UserError, match=words) as refusal:
        evaluate(*arguments, **options)
    assert "\n" not in str(refusal.value)


def test_imports_without_torch():
    program = "import sys, benchmarks.evaluation; print(sorted({'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""CMC and mAP against cases worked by hand, scikit-learn, a plain walk down the ranking, and MARS's labels."""

import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.io
import torch
from sklearn.metrics import average_precision_score

from baselines.interface.errors import UserError
from benchmarks.evaluation import distances as distances_module
from benchmarks.evaluation.ranking import PROTOCOLS, evaluate, evaluate_features, rank

BOTH = ("rectangle", "trapezoid")


def one_query(gallery, **options):
    """Person 1 in camera 1 asks; `gallery` lists (distance, pid, camid)."""
    distances, pids, camids = (np.array(column) for column in zip(*gallery, strict=True))
    return evaluate(distances[None], np.array([1]), np.array([1]), pids, camids, **options)


def assert_same(a, b):
    assert a.map == pytest.approx(b.map, abs=1e-12, nan_ok=True)
    np.testing.assert_array_equal(a.first_hit_rank, b.first_hit_rank)
    np.testing.assert_allclose(a.average_precision, b.average_precision, atol=1e-12)
    np.testing.assert_allclose(a.cmc, b.cmc, atol=1e-12)


def random_case(seed, queries=40, gallery=150):
    """Distances without ties; labels with junk, distractors (pid 0), same-camera rows and queries without a match."""
    rng = np.random.default_rng(seed)
    distances = rng.permutation(queries * gallery).reshape(queries, gallery) / 7
    query_labels = rng.integers(1, 16, queries), rng.integers(1, 4, queries)
    return distances, *query_labels, rng.integers(-1, 13, gallery), rng.integers(1, 4, gallery)


def whole_features(seed, queries=50, gallery=170, dims=8):
    """Features of small whole numbers, whose float32 products are exact; many distances tie. Labels as above."""
    rng = np.random.default_rng(seed)
    features = rng.integers(-2, 3, (queries, dims)), rng.integers(-2, 3, (gallery, dims))
    return *(part.astype(np.float32) for part in features), *random_case(seed, queries, gallery)[1:]


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
def test_the_precision_before_a_hit_at_rank_one_is_one(rule, expected):
    result = one_query([(1, 1, 2), (2, 2, 2), (3, 3, 2), (4, 1, 2)], average_precision=rule)
    assert result.map == pytest.approx(expected)
    np.testing.assert_array_equal(result.cmc, [1, 1, 1, 1])


@pytest.mark.parametrize("rule", BOTH)
def test_junk_and_the_querys_own_camera_hold_no_rank_and_distractors_do(rule):
    left_out = [(0.1, -1, 2), (0.2, 1, 1), (0.3, -1, 1)]
    distractor, hit = [(0.4, 0, 2)], [(0.5, 1, 2)]
    result = one_query(left_out + distractor + hit, average_precision=rule)
    np.testing.assert_array_equal(result.first_hit_rank, [2])
    assert result.map == {"rectangle": 1 / 2, "trapezoid": 1 / 4}[rule]
    np.testing.assert_array_equal(result.cmc, [0, 1, 1, 1, 1])  # as long as the gallery that was given


def test_ties_go_to_the_lower_index():
    stranger, hit = (0.5, 2, 2), (0.5, 1, 2)
    np.testing.assert_array_equal(one_query([hit, stranger, stranger]).first_hit_rank, [1])
    np.testing.assert_array_equal(one_query([stranger, hit, stranger]).first_hit_rank, [2])
    np.testing.assert_array_equal(one_query([stranger, stranger, hit]).first_hit_rank, [3])
    assert one_query([hit, stranger, hit]).map == pytest.approx((1 + 2 / 3) / 2)
    assert one_query([(np.inf, 2, 2), (np.inf, 1, 1), (np.inf, 1, 2)]).first_hit_rank == 2


def two_queries_one_unmatched(unmatched):
    return evaluate(
        np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]),
        np.array([1, 2]),
        np.array([1, 1]),
        np.array([3, 1, 2]),
        np.array([2, 2, 1]),  # person 2 is only in the query's camera
        unmatched=unmatched,
    )


def test_queries_without_a_match_are_skipped():
    result = two_queries_one_unmatched("skip")
    assert result.map == 1 / 2
    np.testing.assert_array_equal(result.cmc, [0, 1, 1])
    np.testing.assert_array_equal(result.average_precision, [1 / 2, np.nan])
    np.testing.assert_array_equal(result.first_hit_rank, [2, np.nan])


def test_queries_without_a_match_count_as_zero():
    result = two_queries_one_unmatched("zero")
    assert result.map == 1 / 4
    np.testing.assert_array_equal(result.cmc, [0, 1 / 2, 1 / 2])
    np.testing.assert_array_equal(result.average_precision, [1 / 2, 0])
    np.testing.assert_array_equal(result.first_hit_rank, [2, np.nan])


@pytest.mark.parametrize("gallery", [[(0.1, 2, 2), (0.2, -1, 1), (0.3, 1, 1)], [(0.1, -1, 2)]])
def test_no_match_anywhere_gives_nan_and_no_warning(gallery):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = one_query(gallery)
    assert np.isnan([result.map, *result.cmc, *result.average_precision, *result.first_hit_rank]).all()
    assert len(result.cmc) == len(gallery)
    assert one_query(gallery, unmatched="zero").map == 0


def test_neither_an_empty_gallery_nor_no_query_crashes():
    none, some = np.empty(0, np.int64), np.array([1, 2])
    assert np.isnan(evaluate(np.empty((2, 0)), some, some, none, none).map)
    assert np.isnan(evaluate(np.empty((0, 2)), none, none, some, some).map)
    for query, gallery in ((2, 0), (0, 2)):
        labels = some[:query], some[:query], some[:gallery], some[:gallery]
        results = evaluate_features(np.ones((query, 3)), np.ones((gallery, 3)), *labels, PROTOCOLS)
        assert all(np.isnan(result.map) for result in results.values())


def test_rank_counts_from_one_and_stays_within_the_gallery():
    assert [rank(np.array([0.5, 0.75, 1]), k) for k in (1, 2, 3, 20)] == [0.5, 0.75, 1, 1]
    assert np.isnan(rank([], 1))


# Against others.


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
def test_agrees_with_a_walk_down_the_ranking(rule, seed):
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
def test_the_rectangle_agrees_with_scikit_learn(seed):
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
def test_what_changes_nothing(rule):
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
def test_cmc_rises_to_one_and_the_input_is_left_alone(junk):
    distances, *labels = random_case(8)
    labels[2] = labels[2] if junk else np.abs(labels[2])
    before = distances.copy()
    cmc = evaluate(distances, *labels).cmc
    assert (np.diff(cmc) >= 0).all()
    assert cmc[-1] == 1
    np.testing.assert_array_equal(distances, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_and_arrays_give_the_same(dtype):
    distances, *labels = random_case(9)
    tensor = torch.tensor(distances).to(dtype)
    if dtype.is_floating_point:
        tensor.requires_grad_()
    same_numbers = tensor.detach().double().numpy()
    assert_same(evaluate(tensor, *map(torch.tensor, labels)), evaluate(same_numbers, *labels))


# From features.


def explicit(query, gallery, query_pids, query_camids, gallery_pids, gallery_camids, protocol, metric="euclidean"):
    """`evaluate` on the whole matrix of float64 distances."""
    queries = query_pids, query_camids
    if protocol.queries_in_gallery:
        gallery = np.concatenate([gallery, query])
        gallery_pids, gallery_camids = np.r_[gallery_pids, query_pids], np.r_[gallery_camids, query_camids]
    query, gallery = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "euclidean":
        distances = np.linalg.norm(query[:, None] - gallery, axis=2)
    else:
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(gallery, axis=1)
        distances = 1 - query @ gallery.T / norms
    options = {"average_precision": protocol.average_precision, "unmatched": protocol.unmatched}
    return evaluate(distances, *queries, gallery_pids, gallery_camids, **options)


@pytest.mark.parametrize("block", [1, 7, 50, 512])
@pytest.mark.parametrize("chunk", [13, 16_384])
@pytest.mark.parametrize("kept", [0, 50_000])
def test_features_give_what_their_distances_give(monkeypatch, block, chunk, kept):
    monkeypatch.setattr(distances_module, "CHUNK", chunk)
    monkeypatch.setattr(distances_module, "KEPT", kept)
    case = whole_features(1)
    results = evaluate_features(*case, PROTOCOLS, block=block)
    assert list(results) == ["official", "standard", "full"]
    for name, result in results.items():
        assert_same(result, explicit(*case, PROTOCOLS[name]))
        assert_same(result, evaluate_features(*case, [name], block=block)[name])


def test_cosine():
    rng = np.random.default_rng(2)
    case = rng.normal(size=(40, 16)), rng.normal(size=(150, 16)), *random_case(2)[1:]
    for name, result in evaluate_features(*case, PROTOCOLS, metric="cosine").items():
        assert_same(result, explicit(*case, PROTOCOLS[name], metric="cosine"))
    scaled = case[0] * 1e-9, case[1] * rng.uniform(0.1, 10, (150, 1)), *case[2:]
    assert evaluate_features(*scaled, ["full"], metric="cosine")["full"].map == pytest.approx(
        explicit(*case, PROTOCOLS["full"], metric="cosine").map
    )


def test_cosine_has_a_feature_of_zeros_at_distance_one():
    gallery = np.array([[-1.0, 0], [0, 0], [1, 1]])
    result = evaluate_features(
        np.array([[1.0, 0]]), gallery, [1], [1], [2, 1, 3], [2, 2, 2], ["standard"], metric="cosine"
    )
    np.testing.assert_array_equal(result["standard"].first_hit_rank, [2])


def test_each_protocol_by_hand():
    # Nearest first: the query itself, another query (person 2), a gallery row of person 3, the hit.
    query, gallery = np.array([[0.0], [0.1]]), np.array([[0.2], [0.3]])
    results = evaluate_features(query, gallery, [1, 2], [1, 1], [3, 1], [2, 2], PROTOCOLS)
    found = {name: (result.first_hit_rank[0], result.map, len(result.cmc)) for name, result in results.items()}
    assert found == {
        "official": (3, pytest.approx(1 / 6), 4),
        "standard": (2, pytest.approx(1 / 2), 2),
        "full": (3, pytest.approx(1 / 3), 4),
    }


def test_euclidean_distances_that_are_one_float32_number_tie():
    query, gallery = np.zeros((1, 3)), np.array([[2896.0, 1, 1], [2896, 1, 0]])
    labels = [1], [1], [2, 1], [2, 2]
    distances = np.linalg.norm(gallery, axis=1)[None]
    assert distances[0, 1] < distances[0, 0]
    expected = evaluate(distances.astype(np.float32), *labels)
    assert expected.first_hit_rank == 2
    assert_same(evaluate_features(query, gallery, *labels, ["standard"])["standard"], expected)


def test_half_precision_memory_maps_and_tensors(tmp_path):
    query, gallery, *labels = whole_features(3)
    maps = []
    for name, part in (("query", query), ("gallery", gallery)):
        np.save(tmp_path / name, part.astype(np.float16))
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    tensors = torch.tensor(query, requires_grad=True), torch.tensor(gallery).bfloat16()
    expected = evaluate_features(query, gallery, *labels, PROTOCOLS)
    for parts in (maps, tensors):
        for name, result in evaluate_features(*parts, *labels, PROTOCOLS, block=16).items():
            assert_same(result, expected[name])


def test_beside_the_features_it_holds_one_block():
    draw = np.random.default_rng(0)
    features = (draw.normal(size=(rows, 4)).astype(np.float32) for rows in (1000, 8000))
    labels = (draw.integers(1, high, rows) for rows in (1000, 8000) for high in (500, 7))
    case = (*features, *labels)
    tracemalloc.start()
    evaluate_features(*case, PROTOCOLS, block=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (50 * 9000 * 4)  # and the whole matrix is 20 blocks


def test_distances_keep_float32_inside_reduced_precision_training():
    # 1 + 2^-9 and 1 + 2^-10 are the same in bfloat16, and in TF32 or bfloat16 products.
    query, gallery = torch.tensor([[1.0, 0]]), torch.tensor([[1 + 2**-9, 0], [1 + 2**-10, 0]])
    labels = [1], [1], [2, 1], [2, 2]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            result = evaluate_features(query, gallery, *map(np.array, labels), ["standard"])
    finally:
        torch.set_float32_matmul_precision(before)
    assert result["standard"].map == 1


# What is refused.

PAIR = np.array([1, 2])


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.array([[0.1, np.nan], [0.1, 0.2]]), PAIR, PAIR, PAIR, PAIR), {}, "query row 0.*NaN"),
        ((np.ones(2), PAIR, PAIR, PAIR, PAIR), {}, "distances.*shape"),
        ((np.ones((2, 3)), PAIR, PAIR, PAIR, PAIR), {}, "gallery_pids.*3 gallery rows"),
        ((np.ones((2, 2)), PAIR, PAIR[:1], PAIR, PAIR), {}, "query_camids"),
        ((np.ones((2, 2)), PAIR / 2, PAIR, PAIR, PAIR), {}, "query_pids.*whole numbers"),
        ((np.ones((2, 2)), PAIR, PAIR, PAIR, PAIR), {"average_precision": "trapez"}, "'trapezoid'"),
        ((np.ones((2, 2)), PAIR, PAIR, PAIR, PAIR), {"unmatched": "drop"}, "unmatched 'drop'"),
    ],
)
def test_evaluate_refuses(arguments, options, words):
    with pytest.raises(UserError, match=words) as refusal:
        evaluate(*arguments, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("query", "gallery", "options", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}, r"features.*\(2, 3\).*\(2, 4\)"),
        (np.ones(2), np.ones((2, 4)), {}, "features"),
        (np.array([[1.0, 2], [np.nan, 1]]), np.ones((2, 2)), {}, "query features, row 1.*NaN"),
        (np.ones((2, 2)), np.full((2, 2), 3e38), {}, "gallery features, row 0.*too large"),
        (np.ones((2, 2)), np.ones((2, 2)), {"metric": "euclid"}, "'euclidean'"),
        (np.ones((2, 2)), np.ones((2, 2)), {"block": 0}, "block=0"),
        (np.ones((2, 2)), np.ones((2, 2)), {"protocols": ["offical"]}, "'official'"),
    ],
)
def test_evaluate_features_refuses(query, gallery, options, words):
    with pytest.raises(UserError, match=words):
        evaluate_features(query, gallery, PAIR, PAIR, PAIR, PAIR, **{"protocols": ["full"], **options})


# MARS, and the house.


def test_mars_has_140_queries_without_a_match_unless_the_queries_are_in_the_gallery(shared):
    mars = shared("mars-info")
    rows = scipy.io.loadmat(mars / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
    asked = scipy.io.loadmat(mars / "query_IDX.mat")["query_IDX"].ravel().astype(np.int64) - 1
    query, gallery = rows[asked], np.delete(rows, asked, axis=0)
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(len(part), 4)) for part in (query, gallery))
    labels = query[:, 2], query[:, 3], gallery[:, 2], gallery[:, 3]
    results = evaluate_features(*features, *labels, PROTOCOLS)
    unmatched = {name: int(np.isnan(result.average_precision).sum()) for name, result in results.items()}
    assert unmatched == {"official": 0, "standard": 140, "full": 0}


def test_protocols_can_be_listed_without_torch_or_pandas():
    program = "import sys, benchmarks.evaluation; print(sorted({'torch', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

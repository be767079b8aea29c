"""Distances from features and from matchers compared with whole matrices of distances, and with MARS's labels."""

import tracemalloc

import numpy as np
import pytest
import scipy.io
import torch

from baselines.interface.errors import UserError
from baselines.interface.matcher import Matcher
from benchmarks.evaluation import distances as distances_module
from benchmarks.evaluation import ranking
from benchmarks.evaluation.distances import FeatureDistances, MatrixDistances, PairwiseDistances, rows_of
from benchmarks.evaluation.metrics import METRICS, fitted_metric
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.evaluation.ranking import evaluate, evaluate_distances, evaluate_features


@pytest.fixture
def integer_features(random_case):
    """Features of small whole numbers, whose float32 products are exact, with labels; many distances are equal."""

    def draw(seed, queries=50, gallery=170, dims=8):
        rng = np.random.default_rng(seed)
        features = (rng.integers(-2, 3, (rows, dims)).astype(np.float32) for rows in (queries, gallery))
        return *features, *random_case(seed, queries, gallery)[1:]

    return draw


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
def test_features_match_distances(assert_same, integer_features, monkeypatch, block, chunk, kept):
    monkeypatch.setattr(distances_module, "CHUNK", chunk)
    monkeypatch.setattr(distances_module, "KEPT", kept)
    case = integer_features(1)
    results = evaluate_features(*case, PROTOCOLS, block=block)
    assert list(results) == ["official", "standard", "full"]
    for name, result in results.items():
        assert_same(result, explicit(*case, PROTOCOLS[name]))
        assert_same(result, evaluate_features(*case, [name], block=block)[name])


@pytest.mark.parametrize("piece", [50, 1000, 98_304])
def test_few_near_tracklets(assert_same, random_case, monkeypatch, piece):
    """People lie far apart, so that few tracklets are near; each tracklet has a twin of another pid at the same place."""
    monkeypatch.setattr(ranking, "PIECE", piece)
    rng = np.random.default_rng(3)
    _, query_pids, query_camids, gallery_pids, gallery_camids = random_case(3, 40, 400)
    places = 50 * rng.integers(-9, 10, (max(query_pids.max(), gallery_pids.max()) + 2, 8)) + rng.integers(-1, 2, 8)
    query, gallery = (places[pids] + rng.integers(-1, 2, (len(pids), 8)) for pids in (query_pids, gallery_pids))
    twins = rng.permutation(2 * len(gallery))
    gallery = np.concatenate([gallery, gallery])[twins].astype(np.float32)
    gallery_pids = np.concatenate([gallery_pids, np.roll(gallery_pids, 1)])[twins]
    gallery_camids = np.tile(gallery_camids, 2)[twins]
    case = query.astype(np.float32), gallery, query_pids, query_camids, gallery_pids, gallery_camids
    for name, result in evaluate_features(*case, PROTOCOLS).items():
        assert_same(result, explicit(*case, PROTOCOLS[name]))


def test_negative_distances_and_zeros_of_both_signs(assert_same, random_case):
    """A matrix in float32 is ranked as the same matrix in float64; few distances are near, and these are often equal."""
    matrix, *labels = random_case(5, 30, 500)
    near = (labels[0][:, None] == labels[2]) | (np.random.default_rng(5).random(matrix.shape) < 0.03)
    matrix = np.where(
        near, np.random.default_rng(6).choice([-np.inf, -2.5, -1, -0.0, 0.0, 1], matrix.shape), 100 + matrix
    )
    matrix = matrix.astype(np.float32)
    assert_same(evaluate(matrix, *labels), evaluate(matrix.astype(np.float64), *labels))


def test_cosine(assert_same, random_case):
    rng = np.random.default_rng(2)
    case = rng.normal(size=(40, 16)), rng.normal(size=(150, 16)), *random_case(2)[1:]
    for name, result in evaluate_features(*case, PROTOCOLS, metric="cosine").items():
        assert_same(result, explicit(*case, PROTOCOLS[name], metric="cosine"))
    scaled = case[0] * 1e-9, case[1] * rng.uniform(0.1, 10, (150, 1)), *case[2:]
    assert evaluate_features(*scaled, ["full"], metric="cosine")["full"].map == pytest.approx(
        explicit(*case, PROTOCOLS["full"], metric="cosine").map
    )


def test_cosine_by_hand():
    query, gallery = np.array([[3.0, 0]]), np.array([[1.0, 0], [0, 2], [-5, 0]])
    (row,) = rows_of(FeatureDistances(query, gallery, METRICS["cosine"]), np.arange(3))
    np.testing.assert_allclose(row, [0, 1, 2], atol=1e-6)


@pytest.mark.parametrize(
    "metric", [*METRICS.values(), fitted_metric(np.eye(2, dtype=np.float32), np.ones(2, np.float32))]
)
@pytest.mark.parametrize("query_square", [0.0, 1e-30, 1.0, 1e30])
def test_distances_never_fall_as_keys_grow(metric, query_square):
    keys = np.concatenate(
        [np.linspace(-3, 3, 999), np.geomspace(1e-38, 1e30, 999), -np.geomspace(1e-38, 1e30, 999), [0.0]]
    )
    distances = np.sort(keys).astype(np.float32)
    with np.errstate(over="ignore"):
        metric.to_distances(distances, np.full(len(keys), query_square, np.float32), distances)
    assert (distances[1:] >= distances[:-1]).all()


def test_first_query_is_not_in_the_gallery():
    """Query 0 lies between query 1 and its hit, and most tracklets are far away."""
    query, gallery = np.array([[1.0], [0]]), np.array([[2.0], *[[900.0]] * 40])
    labels = np.array([7, 1]), np.array([1, 1]), np.array([1, *[2] * 40]), np.full(41, 2)
    results = evaluate_features(query, gallery, *labels, ["standard", "full"])
    np.testing.assert_array_equal(results["standard"].first_hit_rank, [np.nan, 1])
    np.testing.assert_array_equal(results["full"].first_hit_rank, [np.nan, 2])


def test_cosine_of_zeros():
    gallery = np.array([[-1.0, 0], [0, 0], [1, 1]])
    result = evaluate_features(
        np.array([[1.0, 0]]), gallery, [1], [1], [2, 1, 3], [2, 2, 2], ["standard"], metric="cosine"
    )
    np.testing.assert_array_equal(result["standard"].first_hit_rank, [2])


def test_protocols_by_hand():
    # Nearest first: the query itself, another query (person 2), a gallery row of person 3, the hit.
    query, gallery = np.array([[0.0], [0.1]]), np.array([[0.2], [0.3]])
    results = evaluate_features(query, gallery, [1, 2], [1, 1], [3, 1], [2, 2], PROTOCOLS)
    computed = {name: (result.first_hit_rank[0], result.map, len(result.cmc)) for name, result in results.items()}
    assert computed == {
        "official": (3, pytest.approx(1 / 6), 4),
        "standard": (2, pytest.approx(1 / 2), 2),
        "full": (3, pytest.approx(1 / 3), 4),
    }


def test_float32_ties(assert_same):
    query, gallery = np.zeros((1, 3)), np.array([[2896.0, 1, 1], [2896, 1, 0]])
    labels = [1], [1], [2, 1], [2, 2]
    distances = np.linalg.norm(gallery, axis=1)[None]
    assert distances[0, 1] < distances[0, 0]
    expected = evaluate(distances.astype(np.float32), *labels)
    assert expected.first_hit_rank == 2
    assert_same(evaluate_features(query, gallery, *labels, ["standard"])["standard"], expected)


def test_feature_types(assert_same, integer_features, tmp_path):
    query, gallery, *labels = integer_features(3)
    maps = []
    for name, part in (("query", query), ("gallery", gallery)):
        np.save(tmp_path / name, part.astype(np.float16))
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    tensors = torch.tensor(query, requires_grad=True), torch.tensor(gallery).bfloat16()
    expected = evaluate_features(query, gallery, *labels, PROTOCOLS)
    for parts in (maps, tensors):
        for name, result in evaluate_features(*parts, *labels, PROTOCOLS, block=16).items():
            assert_same(result, expected[name])


def test_memory_is_one_block():
    draw = np.random.default_rng(0)
    features = (draw.normal(size=(rows, 4)).astype(np.float32) for rows in (1000, 8000))
    labels = (draw.integers(1, high, rows) for rows in (1000, 8000) for high in (500, 7))
    case = (*features, *labels)
    tracemalloc.start()
    evaluate_features(*case, PROTOCOLS, block=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (50 * 9000 * 4)  # the whole matrix would be 20 blocks


def test_float32_under_autocast():
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("query", "gallery", "options", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}, r"features.*\(2, 3\).*\(2, 4\)"),
        (np.ones(2), np.ones((2, 4)), {}, "features"),
        (np.array([[1.0, 2], [np.nan, 1]]), np.ones((2, 2)), {}, "query features, row 1.*NaN"),
        (np.ones((2, 2)), np.full((2, 2), 3e38), {}, "gallery features, row 0.*too large"),
        (np.ones((2, 2)), np.ones((2, 2)), {"metric": "euclid"}, "^no metric 'euclid'.*'euclidean'"),
        (
            np.ones((2, 2)),
            np.ones((2, 2)),
            {"metric": "xqda"},
            "fitted on training tracklets.*use euclidean or cosine$",
        ),
        (np.ones((2, 2)), np.ones((2, 2)), {"block": 0}, "block=0"),
        (np.ones((2, 2)), np.ones((2, 2)), {"protocols": ["offical"]}, "^no protocol 'offical'.*'official'"),
    ],
)
def test_evaluate_features_errors(query, gallery, options, words):
    with pytest.raises(UserError, match=words):
        evaluate_features(query, gallery, *[np.array([1, 2])] * 4, **{"protocols": ["full"], **options})


def test_unmatched_queries_of_mars(shared):
    mars = shared("mars-info")
    rows = scipy.io.loadmat(mars / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
    query_rows = scipy.io.loadmat(mars / "query_IDX.mat")["query_IDX"].ravel().astype(np.int64) - 1
    query, gallery = rows[query_rows], np.delete(rows, query_rows, axis=0)
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(len(part), 4)) for part in (query, gallery))
    labels = query[:, 2], query[:, 3], gallery[:, 2], gallery[:, 3]
    results = evaluate_features(*features, *labels, PROTOCOLS)
    unmatched = {name: int(np.isnan(result.average_precision).sum()) for name, result in results.items()}
    assert unmatched == {"official": 0, "standard": 140, "full": 0}


class SumMatcher(Matcher):
    """Describes a tracklet by a number; the distance is asymmetric and may be negative."""

    def describe(self, frames, weights, coherence):
        return float(coherence.sum())

    def stack(self, gallery):
        return np.array(gallery)

    def compare(self, query, gallery):
        return torch.from_numpy(gallery - 2 * query * gallery)


@pytest.mark.parametrize(("queries", "stacked"), [(1, 7), (64, 1024)])
def test_matcher(assert_same, random_case, monkeypatch, queries, stacked):
    monkeypatch.setattr(distances_module, "MATCHED_QUERIES", queries)
    monkeypatch.setattr(distances_module, "STACKED", stacked)
    matrix, query_pids, query_camids, gallery_pids, gallery_camids = random_case(4)
    rng = np.random.default_rng(4)
    query, gallery = (rng.normal(size=size) for size in matrix.shape)
    labels = query_pids, query_camids, gallery_pids, gallery_camids
    distances = PairwiseDistances(SumMatcher(), list(query), list(gallery))
    rankings = evaluate_distances(distances, *labels, list(PROTOCOLS.values()))
    everything = np.concatenate([gallery, query])
    expected = everything - 2 * query[:, None] * everything
    assert_same(rankings["standard"], evaluate(expected[:, : len(gallery)], *labels))
    pids, camids = np.concatenate([gallery_pids, query_pids]), np.concatenate([gallery_camids, query_camids])
    assert_same(rankings["full"], evaluate(expected, query_pids, query_camids, pids, camids))


def test_each_query_is_in_one_block(monkeypatch):
    monkeypatch.setattr(distances_module, "MATCHED_QUERIES", 3)
    monkeypatch.setattr(distances_module, "PIECE", 15)
    query, gallery = np.arange(7.0), np.arange(5.0)
    for distances in (
        PairwiseDistances(SumMatcher(), list(query), list(gallery)),
        MatrixDistances(np.ones((7, 5))),
        FeatureDistances(query[:, None], gallery[:, None], block=3),
    ):
        blocks = [(block.first, len(block.values)) for block in distances.blocks(np.arange(5))]
        assert blocks == [(0, 3), (3, 3), (6, 1)]


def test_row_longer_than_the_buffer(monkeypatch):
    monkeypatch.setattr(distances_module, "PIECE", 3)
    query, gallery = np.array([[0.0], [10.0]]), np.arange(5.0)[:, None]
    rows = [row.copy() for row in rows_of(FeatureDistances(query, gallery), np.arange(5))]
    np.testing.assert_allclose(rows, [[0, 1, 2, 3, 4], [10, 9, 8, 7, 6]])


def test_matcher_of_wrong_shape():
    matcher = SumMatcher()
    matcher.compare = lambda query, _: torch.ones(1) * query
    with pytest.raises(UserError, match=r"SumMatcher.*\(1, 1\) for 1 queries and 2 gallery"):
        next(PairwiseDistances(matcher, [1.0], [1.0, 2.0]).blocks(np.arange(2)))


def test_a_tensor_in_double_precision_is_not_rounded():
    """The match is nearer by less than float32 can hold; as a tie it would be second."""
    matrix = torch.tensor([[1 + 1e-12, 1.0]], dtype=torch.float64)
    labels = (np.array(each) for each in ([1], [1], [2, 1], [2, 2]))
    assert evaluate(matrix, *labels).cmc[0] == 1

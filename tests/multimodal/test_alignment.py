import math

import pytest
import torch
from torch import nn

from multimodal.alignment import AlignmentLoss, CrossModalAlignment, contrastive_loss

from .fusion_inputs import parameters

D, P = 12, 8
OUTPUTS = {"projected_A", "projected_B", "semantic_A", "semantic_B"}


def build(context="pair", seed=0):
    torch.manual_seed(seed)
    return CrossModalAlignment(D, P, 2, context=context).eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs_of(a, b, semantic_a=None, semantic_b=None):
    return {
        "projected_A": a,
        "projected_B": b,
        "semantic_A": a if semantic_a is None else semantic_a,
        "semantic_B": b if semantic_b is None else semantic_b,
    }


def test_the_published_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(CrossModalAlignment()) == 525_824


@pytest.mark.parametrize("context", ["pair", "batch"])
@pytest.mark.parametrize("batch", [1, 5])
def test_vectors_give_four_vectors(context, batch):
    aligned = build(context)(draw(batch, D), draw(batch, D, seed=1))
    assert {name for name in aligned if "attention" not in name} == OUTPUTS
    assert all(aligned[name].shape == (batch, P) for name in OUTPUTS)


def test_a_single_vector_can_only_read_its_partner_whatever_it_asks():
    module = build()
    b = draw(3, D, seed=1)
    aligned, asked_otherwise = module(draw(3, D), b), module(draw(3, D, seed=2), b)
    exactly = module.attention.out(module.attention.value(module.project_b(b)))
    torch.testing.assert_close(aligned["semantic_A"], exactly)
    torch.testing.assert_close(aligned["semantic_A"], asked_otherwise["semantic_A"])


def test_in_the_context_of_a_batch_the_question_counts_and_the_attention_is_shared_out():
    module = build("batch")
    b = draw(3, D, seed=1)
    aligned, asked_otherwise = module(draw(3, D), b), module(draw(3, D, seed=2), b)
    assert (aligned["semantic_A"] - asked_otherwise["semantic_A"]).abs().max() > 1e-4
    assert aligned["attention_A"].shape == (1, 2, 3, 3)
    torch.testing.assert_close(aligned["attention_A"].sum(-1), torch.ones(1, 2, 3))


def test_a_batch_of_one_has_no_other_context():
    pair, batch = build("pair"), build("batch")
    a, b = draw(1, D), draw(1, D, seed=1)
    torch.testing.assert_close(pair(a, b)["semantic_A"], batch(a, b)["semantic_A"])


def test_both_directions_share_one_attention():
    module, a, b = build(), draw(2, 4, D), draw(2, 6, D, seed=1)
    module.project_b.load_state_dict(module.project_a.state_dict())
    there, back = module(a, b), module(b, a)
    torch.testing.assert_close(there["semantic_A"], back["semantic_B"])
    torch.testing.assert_close(there["attention_B"], back["attention_A"])


@pytest.mark.parametrize("side", [0, 1])
def test_masked_tokens_are_as_good_as_cut_off(side):
    module, lengths = build(), (5, 7)
    given = [draw(2, length, D, seed=seed) for seed, length in enumerate(lengths)]
    masks = [torch.ones(2, length, dtype=torch.bool) for length in lengths]
    masks[side][:, 3:] = False
    noisy = [tokens.clone() for tokens in given]
    noisy[side][:, 3:] = 99.0
    short = [tokens[:, :3] if place == side else tokens for place, tokens in enumerate(given)]
    masked, cut = module(*noisy, *masks), module(*short)
    for name in OUTPUTS:
        torch.testing.assert_close(masked[name], cut[name], atol=1e-5, rtol=0)


def test_a_sequence_without_a_valid_token_gives_zeros_and_finite_partners():
    masks = torch.zeros(2, 4, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)
    aligned = build()(draw(2, 4, D), draw(2, 4, D, seed=1), *masks)
    assert (aligned["projected_A"] == 0).all()
    assert (aligned["semantic_A"] == 0).all()
    assert all(torch.isfinite(value).all() for value in aligned.values())
    assert (aligned["attention_B"] == 0).all()


def test_attention_rows_over_valid_tokens_sum_to_one_in_training_too():
    valid = torch.tensor([[True, True, False], [True, False, False]])
    aligned = build().train()(draw(2, 4, D), draw(2, 3, D, seed=1), b_valid=valid)
    torch.testing.assert_close(aligned["attention_A"].sum(-1), torch.ones(2, 2, 4), atol=1e-6, rtol=0)
    assert (aligned["attention_A"] * ~valid[:, None, None] == 0).all()


def test_rows_of_a_batch_of_sequences_do_not_see_each_other():
    module, a, b = build(), draw(4, 3, D), draw(4, 5, D, seed=1)
    whole = module(a, b)
    for row in range(4):
        alone = module(a[row : row + 1], b[row : row + 1])
        for name in OUTPUTS:
            torch.testing.assert_close(whole[name][row : row + 1], alone[name], atol=1e-5, rtol=0)


def test_eval_is_bit_identical_and_so_is_a_twin_with_the_same_state():
    module, twin = build(), build(seed=1)
    twin.load_state_dict(module.state_dict())
    a, b = draw(2, 3, D), draw(2, 5, D, seed=1)
    first = module(a, b)
    for again in (module(a, b), twin(a, b)):
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("context", "shape", "idle"),
    [
        ("pair", (8, D), {"attention.query.weight", "attention.query.bias", "attention.key.weight"}),
        ("batch", (8, D), set()),
        ("pair", (8, 4, D), set()),
    ],
)
def test_every_parameter_learns_but_what_a_single_key_leaves_idle(context, shape, idle):
    module = build(context).train()
    AlignmentLoss()(module(draw(*shape), draw(*shape, seed=1)))["total"].backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if name != "attention.key.bias":
            assert (parameter.grad.abs().max() > 1e-8) == (name not in idle), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((draw(2, D), draw(2, 3, D)), "expected two of"),
        ((draw(2, D + 1), draw(2, D + 1)), r"expected two of \(batch, 12\)"),
        ((draw(2, D), draw(3, D)), "expected one batch, got 2 and 3 rows"),
        ((draw(2, D), draw(2, D), torch.ones(2, 1, dtype=torch.bool)), "masks .* of token sequences"),
        (
            (draw(2, 3, D), draw(2, 3, D), torch.ones(2, 4, dtype=torch.bool)),
            r"got \(2, 4\) for \(2, 3, 12\)",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_a_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        build()(*given)


def test_an_unknown_context_is_refused():
    with pytest.raises(ValueError, match="expected context pair or batch, got 'all'"):
        CrossModalAlignment(D, P, 2, context="all")


def test_orthonormal_pairs_have_the_smallest_contrastive_loss():
    pairs = torch.eye(8)
    assert float(contrastive_loss(pairs, pairs, 0.1)) == pytest.approx(3.178e-4, abs=1e-7)
    assert float(contrastive_loss(3 * pairs, pairs, 0.1)) == pytest.approx(3.178e-4, abs=1e-7)


def test_pairs_that_are_all_alike_cost_the_logarithm_of_the_batch():
    alike = torch.ones(8, 5)
    assert float(contrastive_loss(alike, alike, 0.1)) == pytest.approx(math.log(8))


def test_a_batch_of_one_has_no_contrast():
    assert float(contrastive_loss(draw(1, 5), draw(1, 5, seed=1), 0.1)) == 0


def test_the_feature_term_is_a_mean_or_a_squared_norm():
    a, b = torch.zeros(2, 4), torch.full((2, 4), 3.0)
    mean = AlignmentLoss()(outputs_of(a, b))["feature"]
    norm = AlignmentLoss(feature_reduction="norm")(outputs_of(a, b))["feature"]
    assert (float(mean), float(norm)) == (9.0, 72.0)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, -1.0), (-1.0, 1.0)])
def test_the_cosine_term_spans_minus_one_to_one(sign, expected):
    vectors = draw(4, 6)
    loss = AlignmentLoss()(outputs_of(vectors, vectors, vectors, sign * vectors))
    assert float(loss["semantic"]) == pytest.approx(expected)


def test_the_softmax_term_knows_the_pairs_or_the_relations_it_is_given():
    loss = AlignmentLoss(semantic_mode="softmax")
    scale = 4**0.5 * 10.0  # logits of 10 on the diagonal after the division by the root of the width
    a, b = scale * torch.eye(4), torch.eye(4)
    own = math.log(math.exp(10) + 3) - 10
    assert float(loss(outputs_of(a, b))["semantic"]) == pytest.approx(own, abs=1e-5)
    shifted = 5 * torch.eye(4).roll(1, dims=1)  # rows are normalised
    assert float(loss(outputs_of(a, b), shifted)["semantic"]) == pytest.approx(own + 10, abs=1e-5)
    torch.testing.assert_close(
        loss(outputs_of(a, b), torch.eye(4)), loss(outputs_of(a, b)), atol=1e-6, rtol=0
    )
    assert float(loss(outputs_of(torch.zeros(4, 4), b))["semantic"]) == pytest.approx(math.log(4))


def test_the_total_is_the_weighted_sum_and_its_least_value_is_minus_gamma():
    outputs = build()(draw(4, D), draw(4, D, seed=1))
    parts = AlignmentLoss(0.2, 1.0, 2.0, 3.0)(outputs)
    total = parts["contrastive"] + 2 * parts["feature"] + 3 * parts["semantic"]
    torch.testing.assert_close(parts["total"], total)
    best = AlignmentLoss(temperature=0.01)(outputs_of(torch.eye(8), torch.eye(8)))
    assert float(best["total"]) == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "expected a temperature above 0, got 0"),
        ({"beta": -1.0}, "expected weights of at least 0"),
        ({"semantic_mode": "dot"}, "expected semantic_mode cosine or softmax, got 'dot'"),
        ({"feature_reduction": "sum"}, "expected feature_reduction mean or norm, got 'sum'"),
    ],
)
def test_a_loss_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AlignmentLoss(**arguments)


@pytest.mark.parametrize("relations", [torch.zeros(4, 4), -torch.eye(4), torch.eye(3)])
def test_relations_must_relate_every_row(relations):
    with pytest.raises(ValueError, match="with something in every row"):
        AlignmentLoss(semantic_mode="softmax")(outputs_of(draw(4, 4), draw(4, 4)), relations)


def test_relations_mean_nothing_to_cosines():
    with pytest.raises(ValueError, match="only in semantic_mode softmax"):
        AlignmentLoss()(outputs_of(draw(4, 4), draw(4, 4)), torch.eye(4))


def test_bf16_autocast_gives_numbers():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = AlignmentLoss()(build()(draw(2, 3, D), draw(2, 5, D, seed=1)))
    assert all(torch.isfinite(loss) for loss in losses.values())


class Served(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, a, b, a_valid, b_valid):
        aligned = self.module(a, b, a_valid, b_valid)
        return tuple(aligned[name] for name in sorted(OUTPUTS))


@pytest.mark.slow
def test_the_onnx_graph_agrees_with_pytorch_at_other_batches_than_it_was_made_with(tmp_path):
    from export.contract import Contract, Tensor
    from export.onnx_graphs import export_dense
    from export.parity import onnx_runtime

    module = Served(build())
    inputs = (
        Tensor("a", "FP32", (3, D)),
        Tensor("b", "FP32", (5, D)),
        Tensor("a_valid", "BOOL", (3,)),
        Tensor("b_valid", "BOOL", (5,)),
    )
    outputs = tuple(Tensor(name, "FP32", (P,)) for name in sorted(OUTPUTS))
    export_dense(module, Contract("alignment", inputs, outputs, 8, "onnxruntime"), tmp_path / "dense.onnx")
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 5):
        given = (draw(batch, 3, D), draw(batch, 5, D, seed=1), draw(batch, 3) > 0, draw(batch, 5, seed=3) > 0)
        answers = run({tensor.name: value.numpy() for tensor, value in zip(inputs, given, strict=True)})
        with torch.no_grad():
            expected = module(*given)
        for name, value in zip(sorted(OUTPUTS), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(answers[name]), value, atol=1e-5, rtol=0)

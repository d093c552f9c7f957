"""The whole model: its heads, what they learn from, and what no head may do again."""

import pytest
import torch
from torch.nn import functional

from multimodal.vision_language.build import build_vision_language
from multimodal.vision_language.cross_modal_fusion import CrossModalFusion
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.losses import TaskWeights, VisionLanguageLoss
from multimodal.vision_language.model import VisualLanguageModel
from multimodal.vision_language.text_decoder import TextDecoder

from .pairs import TINY, pairs

LABELS = torch.tensor([0, 5, 7, 12])


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(fusion="", gamma=0.0):
    torch.manual_seed(0)
    return build_vision_language(TINY, fusion=fusion, gamma=gamma)


def test_the_model_of_the_published_sizes_has_their_number_of_parameters():
    with torch.device("meta"):
        model = VisualLanguageModel()
    assert parameters(model) == 136_784_168
    assert parameters(model.heads.fusion) == 1_312_768
    assert parameters(model.heads.classifier) == 513_000
    assert parameters(model.heads.retrieval_visual) == parameters(model.heads.retrieval_text) == 262_656


def test_a_cross_modal_fusion_has_the_published_number_of_parameters():
    assert parameters(CrossModalFusion(512, 256)) == 459_776
    assert parameters(CrossModalFusion(512, 512)) == 1_312_768


def test_additive_fusion_is_the_sigmoid_of_one_layer_over_both():
    fusion = CrossModalFusion(3, 2, mode="additive")
    with torch.no_grad():
        fusion.visual.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
        fusion.text.weight.copy_(torch.tensor([[0.0, 0, 1], [0, 0, 0]]))
        fusion.visual.bias.copy_(torch.tensor([0.5, -1.0]))
    fused, info = fusion(torch.tensor([[1.0, 2, 3]]), torch.tensor([[4.0, 5, 6]]))
    torch.testing.assert_close(fused, torch.sigmoid(torch.tensor([[7.5, 1.0]])))
    assert info == {}


def test_an_unknown_mode_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'additive'"):
        CrossModalFusion(mode="aditive")


@pytest.mark.parametrize("fusion", VISION_LANGUAGE_FUSIONS)
@pytest.mark.parametrize("training", [True, False])
def test_every_fusion_gives_every_output_for_one_pair_and_for_many(fusion, training):
    model = tiny(fusion).train(training)
    for count in (1, 4):
        outputs = model(*pairs(count))
        shapes = {name: tuple(one.shape) for name, one in outputs.items() if name != "fusion_info"}
        assert shapes == {
            "classification_logits": (count, 13),
            "retrieval_visual": (count, 16),
            "retrieval_text": (count, 16),
            "joint_embedding": (count, 16),
            "visual_features": (count, 16),
            "text_features": (count, 16),
            "fused_features": (count, 16),
        }
        for name in ("retrieval_visual", "retrieval_text", "joint_embedding"):
            torch.testing.assert_close(outputs[name].norm(dim=1), torch.ones(count))


@pytest.mark.parametrize("fusion", VISION_LANGUAGE_FUSIONS)
def test_every_parameter_gets_a_gradient_from_the_three_tasks(fusion):
    model = tiny(fusion, gamma=0.5).train()
    loss = VisionLanguageLoss(TaskWeights(1, 0.1, 0.5))
    target = torch.randint(4, 40, (4, 6), generator=torch.Generator().manual_seed(1))
    loss(model(*pairs(), target), LABELS, target_ids=target)["total"].backward()
    dead = [
        name
        for name, one in [*model.named_parameters(), *loss.named_parameters()]
        if one.grad is None or not torch.isfinite(one.grad).all() or not one.grad.abs().sum() > 0
    ]
    # A key's bias adds the same to all scores of a row, which softmax takes away again.
    unused = ("position_embeddings", "token_type_embeddings", "key.bias")
    assert [name for name in dead if not any(part in name for part in unused)] == []


def test_the_retrieval_heads_learn_from_retrieval_alone():
    model = tiny().train()
    VisionLanguageLoss(TaskWeights(0, 1, 0))(model(*pairs()), LABELS)["total"].backward()
    for head in (model.heads.retrieval_visual, model.heads.retrieval_text):
        assert head.weight.grad.abs().sum() > 0
    assert model.heads.classifier.weight.grad is None or not model.heads.classifier.weight.grad.any()


def test_an_image_is_embedded_without_any_text():
    model = tiny()
    images, ids, mask = pairs()
    with torch.no_grad():
        one = model(images, ids, mask)["retrieval_visual"]
        other = model(images, ids.flip(0), mask.flip(0))["retrieval_visual"]
        alone = model.heads.embed_image(model.visual(images))
    assert torch.equal(one, other)
    assert torch.equal(one, alone)


def test_a_row_is_what_it_is_alone_and_two_calls_agree():
    model = tiny()
    images, ids, mask = pairs()
    with torch.no_grad():
        whole = model(images, ids, mask)
        again = model(images, ids, mask)
        alone = model(images[2:3], ids[2:3], mask[2:3])
    for name in ("classification_logits", "retrieval_visual", "joint_embedding"):
        assert torch.equal(whole[name], again[name])
        torch.testing.assert_close(whole[name][2:3], alone[name], atol=1e-5, rtol=0)


def test_without_gamma_there_is_no_decoder_at_all():
    model = tiny()
    assert model.heads.decoder is None
    assert not any("decoder" in name for name in model.state_dict())
    with pytest.raises(ValueError, match="expected no target without a decoder"):
        model(*pairs(), torch.ones(4, 6, dtype=torch.int64))


def test_a_decoder_never_sees_the_token_that_it_is_to_tell():
    torch.manual_seed(0)
    decoder = TextDecoder(8, vocabulary=20, width=16, heads=2, prefix_tokens=3, max_tokens=6).eval()
    fused, target = torch.randn(1, 8), torch.tensor([[1, 2, 3, 4, 5]])
    other = torch.tensor([[1, 2, 9, 4, 5]])
    with torch.no_grad():
        before, after = decoder(fused, target), decoder(fused, other)
    assert before.shape == (1, 5, 20)
    torch.testing.assert_close(before[:, :3], after[:, :3])  # token 2 is told before it is read
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_a_decoder_ties_its_embedding_to_its_output_and_refuses_what_is_too_long():
    decoder = TextDecoder(8, vocabulary=20, width=16, heads=2, max_tokens=6)
    assert sum(20 in parameter.shape for parameter in decoder.parameters()) == 1
    with pytest.raises(ValueError, match="expected targets of 1 to 6 tokens, got 7"):
        decoder(torch.zeros(1, 8), torch.zeros(1, 7, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected 1 to 4 prefix tokens, got 5"):
        TextDecoder(8, vocabulary=20, prefix_tokens=5)


def test_a_decoder_learns_to_tell_fixed_texts():
    torch.manual_seed(0)
    decoder = TextDecoder(8, vocabulary=20, width=16, heads=2, max_tokens=6).train()
    fused, target = torch.eye(4, 8), torch.randint(1, 20, (4, 6))
    optimiser = torch.optim.Adam(decoder.parameters(), 1e-2)

    def loss():
        return functional.cross_entropy(decoder(fused, target).flatten(0, 1), target.flatten())

    first = float(loss().detach())
    for _ in range(60):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert float(loss().detach()) < 0.2 * first

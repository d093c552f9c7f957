"""What learns behind frozen trunks: projections, retrieval heads and a head for every fusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from multimodal.vision_language.build import build_vision_language, trunk_state
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.losses import TaskWeights, VisionLanguageLoss
from multimodal.vision_language.model import VisualLanguageModel
from multimodal.vision_language.presets import VisionLanguagePreset
from training.optimise import Optimiser
from training.recipe import Schedule
from training.vision_language_features import Pooled
from training.vision_language_recipe import VisionLanguageRecipe


def train_together(
    model: VisualLanguageModel, pooled: Pooled, recipe: VisionLanguageRecipe
) -> VisualLanguageModel:
    """Teach projections, retrieval heads and the model's fusion; round to half precision as on disk."""
    centred, mean, deviation = standardised(pooled.photos)
    torch.manual_seed(recipe.seed)
    projections = nn.ModuleList((model.visual.projection, model.text.projection))
    both = _Learning(model, projections, replace(pooled, photos=centred), recipe.weights)
    _learn(
        both, nn.ModuleList((projections, model.heads)), recipe.together, f"{model.fusion_name}, retrieval"
    )
    unstandardise(model.visual.projection, mean, deviation)
    with torch.no_grad():  # what learns on these later is to see them as they will be served
        for parameter in (*projections.parameters(), *model.heads.parameters()):
            parameter.copy_(parameter.half())
    return model.eval()


@torch.no_grad()
def projected(model: VisualLanguageModel, pooled: Pooled) -> Pooled:
    """The same split behind both projections: features instead of pooled vectors."""
    photos, texts = model.visual.projection(pooled.photos), model.text.projection(pooled.texts)
    return replace(pooled, photos=photos, texts=texts)


def train_alone(
    trunk: VisualLanguageModel,
    preset: VisionLanguagePreset,
    features: Pooled,
    recipe: VisionLanguageRecipe,
    fusion: str,
) -> VisualLanguageModel:
    """A model with the trunk's projections and retrieval heads, whose fusion and classifier have learnt.

    features: `projected` by the trunk
    """
    torch.manual_seed(recipe.seed)
    model = beside(trunk, preset, fusion)
    as_they_are = nn.ModuleList((nn.Identity(), nn.Identity()))
    learning = _Learning(model, as_they_are, features, TaskWeights(beta=0.0))
    _learn(learning, nn.ModuleList((model.heads.fusion, model.heads.classifier)), recipe.alone, fusion)
    return model.eval()


def beside(trunk: VisualLanguageModel, preset: VisionLanguagePreset, fusion: str) -> VisualLanguageModel:
    """A model of the same preset that shares all the trunk's modules but fusion and classifier."""
    model = build_vision_language(preset, fusion=fusion)
    model.load_state_dict(trunk_state(trunk), strict=False)
    model.visual, model.text = trunk.visual, trunk.text
    return model


def train_fusions(
    trunk: VisualLanguageModel, preset: VisionLanguagePreset, pooled: Pooled, recipe: VisionLanguageRecipe
) -> dict[str, VisualLanguageModel]:
    """A trained model for every fusion of the table, in its order, all with the trunk's projections."""
    features = projected(trunk, pooled)
    return {name: train_alone(trunk, preset, features, recipe, name) for name in VISION_LANGUAGE_FUSIONS}


def standardised(photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every column of (copies, photos, width) to mean 0 and deviation 1; with mean and deviation, (width,).

    Stages of a trunk differ a hundredfold in scale: without this, one step size would not fit all of them.
    """
    flat = photos.flatten(0, 1)
    mean, deviation = flat.mean(dim=0), flat.std(dim=0)
    # A column that hardly ever moves would otherwise be blown up to full size.
    deviation = deviation.clamp(min=0.05 * float(deviation.median()) + 1e-6)
    return (photos - mean) / deviation, mean, deviation


@torch.no_grad()
def unstandardise(projection: nn.Linear, mean: Tensor, deviation: Tensor) -> None:
    """Turn a layer that learnt on standardised input into the same function of the input as it is."""
    projection.weight.div_(deviation)
    projection.bias.sub_(projection.weight @ mean)


@dataclass(frozen=True)
class _Learning:
    """A model, what its photos and texts go through first, and what it learns from."""

    model: VisualLanguageModel
    projections: nn.ModuleList
    pooled: Pooled
    weights: TaskWeights

    def losses(self, loss: VisionLanguageLoss, rows: Tensor) -> dict[str, Tensor]:
        """Losses of the answers to the questions of these rows, and of captions for their photos."""
        pooled, heads = self.pooled, self.model.heads
        see, read = self.projections
        photo = pooled.photo[rows]
        copy = torch.randint(len(pooled.photos), (len(rows),))
        outputs = heads(see(pooled.photos[copy, photo]), read(pooled.texts[pooled.question[rows]]))
        if not self.weights.beta:
            return loss(outputs, pooled.answer[rows])
        wording = torch.randint(pooled.captions.shape[1], (len(rows),))
        caption = pooled.captions[photo, wording]
        told = {"retrieval_text": heads.embed_text(read(pooled.texts[caption]))}
        # Photo i and text j fit when the wording of j says of i what it says of j's own photo.
        matches = pooled.captions[photo][:, wording] == caption
        return loss({**outputs, **told}, pooled.answer[rows], matches)


def _learn(learning: _Learning, learns: nn.Module, schedule: Schedule, title: str) -> None:
    loss = VisionLanguageLoss(learning.weights)
    others = [one for one in learning.model.parameters() if one.requires_grad]
    for parameter in others:
        parameter.requires_grad_(False)
    both = nn.ModuleList((learns, loss)).requires_grad_(True).train()
    questions = len(learning.pooled.question)
    steps = max(1, questions // schedule.batch)
    optimiser = Optimiser(both, schedule, schedule.epochs * steps)
    with tqdm(total=schedule.epochs * steps, desc=title, unit="step", mininterval=1) as bar:
        for _ in range(schedule.epochs):
            for rows in torch.randperm(questions)[: steps * schedule.batch].split(schedule.batch):
                losses = learning.losses(loss, rows)
                optimiser.step(losses["total"])
                bar.update()
    for parameter in others:
        parameter.requires_grad_(True)


@torch.no_grad()
def answers(model: VisualLanguageModel, pooled: Pooled, photo: Tensor | None = None) -> Tensor:
    """Probabilities (questions, classes); photo: which photo each question is put to, its own if left out."""
    seen = model.visual.projection(pooled.photos[0])
    read = model.text.projection(pooled.texts)
    rows = pooled.photo if photo is None else photo
    return torch.cat(
        [
            model.heads(seen[some], read[asked])["classification_logits"].softmax(dim=1)
            for some, asked in zip(rows.split(4096), pooled.question.split(4096), strict=True)
        ]
    )

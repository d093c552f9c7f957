"""One step's pictures and texts as tensors, and the losses of matching, captioning, answering and reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BlipForImageTextRetrieval, BlipForQuestionAnswering, T5ForConditionalGeneration

from multimodal.visual_question.generation import draw_patches, padded, reader_contexts
from multimodal.visual_question.presets import VisualQuestionPreset
from training.visual_question_pictures import Painter, Scene
from training.visual_question_texts import ATTRIBUTES, Asker, told

IGNORED = -100  # as a label: no loss there


@dataclass(frozen=True)
class Texts:
    """Token ids and their mask, (texts, length) int64."""

    ids: Tensor
    mask: Tensor

    def labels(self, prompt: int) -> Tensor:
        """What a decoder is to say: neither the prompt nor what is empty counts."""
        labels = self.ids.masked_fill(self.mask == 0, IGNORED)
        labels[:, :prompt] = IGNORED
        return labels


@dataclass(frozen=True)
class Lesson:
    """Pictures and what is said about them.

    pixels:    (batch, 1, side, side, 3) uint8
    cells:     (batch, patches), 1 where a patch holds some of the shape
    pairs:     2 * batch texts, those that go with their picture before those that do not
    captions:  batch, each behind the captioner's prompt
    questions, answers: n * batch, every picture once, then every picture again
    attributes: for each attribute (batch,), the place of its word in ATTRIBUTES
    """

    pixels: Tensor
    cells: Tensor
    pairs: Texts
    captions: Texts
    questions: Texts
    answers: Texts
    attributes: dict[str, Tensor]


class Teacher:
    """Makes lessons for one preset; the same seed makes the same ones.

    questions: about every picture
    """

    def __init__(
        self,
        preset: VisualQuestionPreset,
        painter: Painter,
        asker: Asker,
        tokenizer: Tokenizer,
        questions: int,
    ) -> None:
        self.preset, self.painter, self.asker, self.tokenizer = preset, painter, asker, tokenizer
        self.questions = questions
        tokens = preset.text.tokens
        prompt = tokenizer.encode(preset.generation.prompt, add_special_tokens=False).ids
        self.caption_prompt, self.answer_prompt = [tokens.decode, *prompt], [tokens.decode]

    def lesson(self, rng: np.random.Generator, batch: int) -> Lesson:
        """Draw pictures, and texts about each."""
        painted = self.painter.draw(rng, batch)
        scenes = painted.scenes
        pairs = [self.asker.pair(rng, scene) for scene in scenes]
        asked = [self.asker.ask(rng, scene) for _ in range(self.questions) for scene in scenes]
        return Lesson(
            torch.from_numpy(painted.pixels)[:, None],
            torch.from_numpy(painted.cells.reshape(batch, -1)).float(),
            self.encoded([good for good, _ in pairs] + [bad for _, bad in pairs]),
            self.behind(self.caption_prompt, [str(rng.choice(scene.captions)) for scene in scenes]),
            self.encoded([question for question, _ in asked]),
            self.behind(self.answer_prompt, [answer for _, answer in asked]),
            {
                kind: torch.tensor([ATTRIBUTES[kind].index(scene.words[kind]) for scene in scenes])
                for kind in ATTRIBUTES
            },
        )

    def reading(self, rng: np.random.Generator, batch: int) -> tuple[Texts, Texts]:
        """Contexts (batch * contexts texts) of drawn scenes, and the answers to their questions (batch)."""
        sizes, contexts, answers = self.preset.generation, [], []
        for _ in range(batch):
            scene = Scene(**{kind: str(rng.choice(words)) for kind, words in ATTRIBUTES.items()})
            question, answer = self.asker.ask(rng, scene)
            captions = told(rng, scene, sizes.captions)
            contexts += reader_contexts(question, captions, sizes.captions_per_context)
            answers.append(answer)
        return self.encoded(contexts), self.behind([], answers)

    def encoded(self, texts: Sequence[str]) -> Texts:
        """Texts between their special tokens."""
        return self._texts([encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))])

    def behind(self, prompt: list[int], texts: Sequence[str]) -> Texts:
        """What a decoder is to say behind its prompt, with its end."""
        words = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return self._texts([[*prompt, *encoding.ids, self.preset.text.tokens.end] for encoding in words])

    def _texts(self, rows: list[list[int]]) -> Texts:
        ids, mask = padded(rows, self.preset.text.tokens.pad, self.preset.reader.length)
        return Texts(torch.from_numpy(ids), torch.from_numpy(mask))


def with_image(texts: Texts, token: int) -> Tensor:
    """Ids whose first token says that an image goes with them."""
    return torch.cat([torch.full_like(texts.ids[:, :1], token), texts.ids[:, 1:]], dim=1)


def matching_loss(matching: BlipForImageTextRetrieval, seen: Tensor, pairs: Texts, encode: int) -> Tensor:
    """Tell the texts that go with a picture from those with one thing wrong.

    seen: (batch, 1 + patches, width); pairs: 2 * batch texts, see `Lesson`
    """
    states = matching.text_encoder(
        input_ids=with_image(pairs, encode),
        attention_mask=pairs.mask,
        encoder_hidden_states=seen.repeat(2, 1, 1),
    ).last_hidden_state
    batch = len(seen)
    labels = torch.tensor([1] * batch + [0] * batch)
    return nn.functional.cross_entropy(matching.itm_head(states[:, 0]), labels)


def caption_loss(decoder: nn.Module, seen: Tensor, captions: Texts, prompt: int) -> Tensor:
    """Tell the caption from some tokens of the picture; prompt: tokens that are given."""
    return decoder(
        input_ids=captions.ids,
        attention_mask=captions.mask,
        encoder_hidden_states=seen,
        labels=captions.labels(prompt),
    ).loss


def answer_loss(
    answering: BlipForQuestionAnswering, seen: Tensor, questions: Texts, answers: Texts, encode: int
) -> Tensor:
    """Answer the questions about every picture; seen: (batch, 1 + patches, width)."""
    states = answering.text_encoder(
        input_ids=with_image(questions, encode),
        attention_mask=questions.mask,
        encoder_hidden_states=seen.repeat(len(questions.ids) // len(seen), 1, 1),
    ).last_hidden_state
    return answering.text_decoder(
        input_ids=answers.ids,
        attention_mask=answers.mask,
        encoder_hidden_states=states,
        encoder_attention_mask=questions.mask,
        labels=answers.labels(1),
    ).loss


def reading_loss(reader: T5ForConditionalGeneration, contexts: Texts, answers: Texts) -> Tensor:
    """Answer from all contexts of a question, encoded apart and read together."""
    states = reader.encoder(input_ids=contexts.ids, attention_mask=contexts.mask).last_hidden_state
    batch = len(answers.ids)
    return reader(
        encoder_outputs=(states.reshape(batch, -1, states.shape[-1]),),
        attention_mask=contexts.mask.reshape(batch, -1),
        labels=answers.labels(0),
    ).loss


def drawn_tokens(rng: np.random.Generator, seen: Tensor, chances: Tensor, count: int) -> Tensor:
    """Patches drawn by chance.

    seen: (batch, 1 + patches, width); chances: (batch, patches) >= 0; returns (batch, count, width)
    """
    uniforms = rng.random(chances.shape)
    places = np.stack(
        [draw_patches(row, count, line) for row, line in zip(chances.numpy(), uniforms, strict=True)]
    )
    return seen[torch.arange(len(seen))[:, None], torch.from_numpy(places)]

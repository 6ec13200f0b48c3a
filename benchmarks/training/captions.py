"""The words of a batch: one prompt per group, and where they apply in the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from benchmarks.training.batches import Batch
from benchmarks.training.bodies import BUILDERS, CATEGORIES
from benchmarks.training.config import TrainConfig
from benchmarks.training.networks import (
    MAX_TOKENS,
)
from benchmarks.training.words import COMMON_WORDS

TEMPLATES = ("{}", "a photo of a {}", "a photo of a {}", "a {}")


def class_word(category: int) -> str:
    """The word that stands for a category number in captions."""
    name = list(BUILDERS)[category]
    return name if name in CATEGORIES else "object"


@dataclass(frozen=True)
class Prompts:
    """Distinct token ids [P, 77], per picture the prompt's number, position of the class token (-1 none) and the class
    mask [B, N] of that word."""

    ids: Tensor
    which: Tensor
    position: Tensor
    mask: Tensor


def draw_prompts(
    batch: Batch, tokenizer: CLIPTokenizer, config: TrainConfig, rng: np.random.Generator, owner: Tensor
) -> Prompts:
    """One prompt for every group: none where it is asked for its object; its class, or a word that says nothing about
    it (as a person's own category does), where it is asked for its parts. A word without a class of ours stands for any
    object."""
    texts: list[str] = []
    words: list[str] = []
    for k in range(len(batch.rows)):
        if k % config.views:
            words.append(words[-1])
            texts.append(texts[-1])
            continue
        word = class_word(int(batch.category[k])) if batch.parts[k] else ""
        if word and rng.random() < config.strange_word:
            word = str(rng.choice(COMMON_WORDS))
        words.append(word)
        texts.append(str(rng.choice(TEMPLATES)).format(word) if word else "")
    unique = sorted(set(texts))
    ids = tokenizer(unique, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids
    which = torch.tensor([unique.index(text) for text in texts])
    position = []
    mask = torch.zeros(owner.shape)
    for k, word in enumerate(words):
        if not word:
            position.append(-1)
            continue
        end = int((ids[which[k]] == tokenizer.eos_token_id).nonzero()[0])
        position.append(end - 1)
        for body, category in enumerate(batch.bodies[k].tolist()):
            if category >= 0 and (word not in CATEGORIES or class_word(category) == word):
                mask[k] = torch.maximum(mask[k], (owner[k] == body).float())
    return Prompts(ids, which, torch.tensor(position), mask)

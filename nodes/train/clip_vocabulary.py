"""A CLIP tokenizer with a closed vocabulary: one token per word."""

from __future__ import annotations

import json
import os

from ..shapes.caption import KNOWN_WORDS

WORDS = (*KNOWN_WORDS, ",", ".")
START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: str | os.PathLike) -> None:
    """vocab.json, merges.txt and tokenizer_config.json, as CLIP's are, for WORDS.

    Other words are split into letters.
    """
    merges = _merges(WORDS)
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,.-+"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges), START, END]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump({token: i for i, token in enumerate(dict.fromkeys(tokens))}, file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": START, "eos_token": END,
                   "unk_token": END, "pad_token": END}, file)


def _merges(words) -> list[tuple[str, str]]:
    """Byte pair merges that make each word one token: merges of the word itself follow those that apply to its
    pieces."""
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        for left, right in merges:
            i = 0
            while i < len(pieces) - 1:
                if (pieces[i], pieces[i + 1]) == (left, right):
                    pieces[i:i + 2] = [left + right]
                i += 1
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
    return merges

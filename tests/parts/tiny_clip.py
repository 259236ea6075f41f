"""A tiny CLIP of random weights, as a folder and as a tower."""
import torch

from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.clip_tower import ClipTower, load_tower, save_clip_folder
from distill3d.nodes.train.clip_network import build_clip
from distill3d.nodes.train.clip_vocabulary import write_tokenizer

CPU = torch.device("cpu")


def write_tiny_clip(folder, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, _ = build_clip(16, 32, 2, 1)
    save_clip_folder(folder, network, write_tokenizer)
    return folder


def tiny_tower(folder) -> ClipTower:
    return load_tower(write_tiny_clip(folder), "Test", CPU)


class Given:
    """A TowerRecipe that loads what it was given."""

    def __init__(self, tower):
        self.tower = tower

    def load(self, priors: LoadedPriors):
        return self.tower


class ColorTower:
    """A tower whose embedding is the mean colour of a picture, and of a text the colour that it names."""

    name, side, has_text, layers = "ColorTower", 8, True, 1
    colors = {"red": (1.0, 0.1, 0.1), "green": (0.1, 1.0, 0.1), "blue": (0.1, 0.1, 1.0)}

    def embed_pictures(self, rgb):
        return torch.nn.functional.normalize(rgb.mean((1, 2)), dim=-1)

    def embed_texts(self, texts):
        named = [next(color for name, color in self.colors.items() if name in text) for text in texts]
        return torch.nn.functional.normalize(torch.tensor(named), dim=-1)

    def features(self, rgb, layer):
        return rgb.flatten(1, 2)

    def release(self):
        return None

import gc
import json
import shutil
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch.nn import Linear

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.core.prior import LoadedPriors, TextCondition
from distill3d.nodes.models import t5_text
from distill3d.nodes.models.t5_text import PassingText, T5Text
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF

CPU = torch.device("cpu")


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    set_host(host)
    yield host
    set_host(None)


class Counting:
    """Stands for the encoder: an embedding is the length of the text, and every call is noted."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts):
        self.calls.append(list(texts))
        return TextCondition(torch.tensor([float(len(text)) for text in texts]).view(-1, 1, 1))


class Passing:
    def __init__(self, known=(), keeps=False, can_load=True):
        self.encoders = []
        self.text = PassingText(self._load if can_load else None, dict(known), CPU, "A Prior", keeps)

    def _load(self):
        self.encoders.append(Counting())
        return self.encoders[-1]


def test_nothing_is_loaded_before_texts_come_and_each_is_encoded_once(host):
    passing = Passing()
    assert not passing.encoders
    found = passing.text(["one", "", "one", " ONE "]).embedding
    assert found.flatten().tolist() == [3, 0, 3, 3] and passing.encoders[0].calls == [["one", ""]]
    assert passing.text(["three", "one"]).embedding.flatten().tolist() == [5, 3]
    assert len(passing.encoders) == 1 and passing.encoders[0].calls[1] == ["three"]


def test_known_texts_need_no_encoder_after_it_left(host):
    passing = Passing()
    passing.text(["one"])
    passing.text.rest()
    passing.encoders[0] = weakref.ref(passing.encoders[0])
    gc.collect()
    assert passing.encoders[0]() is None
    assert passing.text(["one"]).embedding.item() == 3 and len(passing.encoders) == 1 and not host.warnings


def test_late_texts_load_it_again_with_one_warning(host):
    passing = Passing()
    for text in ("one", "three", "fifteen"):
        passing.text([text])
        passing.text.rest()
    assert len(passing.encoders) == 3
    warning, = host.warnings
    assert warning.startswith("A Prior: ") and '"three" came after' in warning and '"keep"' in warning


def test_kept_encoders_do_not_leave(host):
    passing = Passing(keeps=True)
    for text in ("one", "three"):
        passing.text([text])
        passing.text.rest()
    assert len(passing.encoders) == 1 and not host.warnings


def test_a_file_of_embeddings_comes_first(host):
    passing = Passing({"one": TextCondition(torch.full((1, 1, 1), -7.0))})
    assert passing.text(["one"]).embedding.item() == -7 and not passing.encoders
    assert passing.text(["One", "three"]).embedding.flatten().tolist() == [-7, 5]


def test_without_an_encoder_other_texts_are_refused(host):
    passing = Passing({"a cat": TextCondition(torch.zeros(1, 1, 1))}, can_load=False)
    assert passing.text(["a cat"]).embedding.item() == 0
    with pytest.raises(DistillError, match='A Prior: .* none for "a dog".* The file has: "a cat". .*Save Text '
                                           'Embeddings'):
        passing.text(["a cat", "a dog"])


@pytest.fixture(scope="module")
def cased(tiny_if, tmp_path_factory):
    """The tiny model with a tokenizer that tells capitals from small letters, as T5's does."""
    import json
    import shutil

    folder = shutil.copytree(tiny_if, tmp_path_factory.mktemp("cased") / "model")
    path = folder / "tokenizer/tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"] = None
    tokenizer["pre_tokenizer"]["pattern"]["Regex"] = r"[A-Za-z0-9+\-]+|,"
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["Red"] = vocabulary["cube"]  # a capital changes the meaning
    path.write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.parametrize("texts", [["a Red cube, side view"], ["", "  A blue SPHERE "], ["a red " * 60 + "cube"]])
def test_embeddings_are_those_of_the_published_pipeline(cased, texts):
    from diffusers import IFPipeline

    pipeline = IFPipeline.from_pretrained(cased, safety_checker=None, feature_extractor=None, watermarker=None)
    pipeline.text_encoder.float()
    with torch.no_grad():
        expected, negative = pipeline.encode_prompt(texts, negative_prompt=["Red, Ugly"] * len(texts))
    encode = T5Text(cased, CPU, torch.float32, "A Prior")
    torch.testing.assert_close(encode(texts).embedding, expected.float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encode(["Red, Ugly"]).embedding[0], negative[0].float(), atol=1e-5, rtol=1e-5)
    capitals = encode.tokenizer(["a Red cube"]).input_ids != encode.tokenizer(["a red cube"]).input_ids
    assert capitals and encode(texts).embedding.shape[1:] == (77, 64)


def test_float16_keeps_what_would_overflow_in_float32(tiny_if):
    """T5's feed-forward outputs leave the range of float16; its class keeps those weights in float32."""
    encode = T5Text(tiny_if, CPU, torch.float16, "A Prior")
    kinds = {name.rsplit(".", 2)[-2]: weight.dtype for name, weight in encode.network.named_parameters()}
    assert kinds["wo"] == torch.float32 and kinds["q"] == torch.float16
    assert encode(["a red cube"]).embedding.dtype == torch.float32


def test_eight_bits_need_cuda(tiny_if):
    with pytest.raises(DistillError, match='needs a CUDA device, and this run uses "cpu". Set "text_encoder" to "load '
                                           'and drop"'):
        DeepFloydIF(str(tiny_if), text_encoder="8-bit").load(LoadedPriors(CPU))


def test_eight_bits_need_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setattr(t5_text, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match='"bitsandbytes", which is not installed.*pip install bitsandbytes'):
        t5_text.check_eight_bit(torch.device("cuda"), "A Prior")
    monkeypatch.setattr(t5_text, "find_spec", lambda name: object())
    t5_text.check_eight_bit(torch.device("cuda"), "A Prior")


def test_eight_bits_are_asked_of_the_library(tiny_if, monkeypatch):
    asked = {}

    def load(kind, folder, name, dtype, **options):
        asked.update(options)
        return Linear(1, 1)

    monkeypatch.setattr(t5_text, "load_network", load)
    T5Text(tiny_if, torch.device("cuda", 0), torch.float16, "A Prior", is_8bit=True)
    assert asked["quantization_config"].load_in_8bit and asked["device_map"] == {"": torch.device("cuda", 0)}


def test_room_is_made_before_a_network_moves(host, monkeypatch):
    freed = []
    monkeypatch.setattr(host, "free_memory", freed.append)
    network = Linear(10, 4).half()
    t5_text.move(network, CPU)
    assert freed == []
    t5_text.move(network, torch.device("meta"))
    assert freed == [44 * 2]


def test_view_words_survive_a_long_prompt(cased, host):
    encode = T5Text(cased, CPU, torch.float32, "A Prior")
    long = "a red cube " * 30
    front, back, cut = (encode([text]).embedding for text in (f"{long}, front view", f"{long}, back view", long))
    assert not torch.equal(front, back)
    assert encode([f"{long}, front view"]).embedding.equal(front)
    assert len(host.warnings) == 2 and all(
        part in host.warnings[0] for part in ("A Prior: the prompt has", "reads 77", 'front view"', "is left out"))
    assert cut.shape == front.shape


@pytest.fixture
def spiece(tiny_if, tmp_path):
    """A copy of IF's folder whose tokenizer is a spiece.model alone, as published."""
    import sentencepiece

    folder = Path(shutil.copytree(tiny_if, tmp_path / "spiece"))
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()
    texts = iter([f"a {color} {shape}" for color in ("red", "green", "blue") for shape in ("cube", "sphere", "cone")])
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_prefix=str(folder / "tokenizer" / "spiece"), vocab_size=40, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2)
    (folder / "tokenizer" / "spiece.vocab").unlink()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
         "extra_ids": 0, "model_max_length": 77}))
    return folder


def test_a_published_tokenizer_is_read(spiece):
    import sentencepiece

    encode = T5Text(spiece, CPU, torch.float32, "A Prior")
    own = sentencepiece.SentencePieceProcessor(model_file=str(spiece / "tokenizer" / "spiece.model"))
    assert encode.tokenizer("a red cube").input_ids == [*own.encode("a red cube"), 1]
    assert encode(["a red cube"]).embedding.shape == (1, 77, 64)


@pytest.mark.parametrize("module, package", [("sentencepiece", "sentencepiece"), ("google.protobuf", "protobuf")])
def test_a_package_that_reads_it_is_named(spiece, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=f"A Prior: .*spiece.model needs the package.*pip install {package}"):
        T5Text(spiece, CPU, torch.float32, "A Prior")

from distill3d.nodes.models.clip_text import read_tokenizer
from distill3d.nodes.train.clip_vocabulary import WORDS, write_tokenizer


def test_every_word_is_one_token_for_the_tokenizer_of_clip(tmp_path):
    write_tokenizer(tmp_path)
    tokenizer = read_tokenizer(tmp_path, "Test")
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokens = [tokenizer(word).input_ids for word in WORDS]
    assert all(len(ids) == 3 and ids[0] == start and ids[2] == end for ids in tokens)
    assert len({ids[1] for ids in tokens}) == len(WORDS)
    text = "an orange sphere with a blue nose"
    assert tokenizer(text).input_ids[1:-1] == [tokenizer(word).input_ids[1] for word in text.split()]
    assert len(tokenizer("zebra").input_ids) > 3 and tokenizer.unk_token_id not in tokenizer("zebra").input_ids[1:-1]

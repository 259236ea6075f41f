import pytest
import torch

from distill3d.kernels.distill.formula import EMPTY, NEARBY, NEGATIVE, NOISE, TEXT, Prediction, parse, values


def coefficients(formula, **names):
    return values(parse(formula), {"s": 7.5, "a": 0.25, "t": 0.5, **names})


def test_a_formula_is_its_coefficients():
    assert coefficients("s text + (1 - s) negative - noise") == {
        Prediction(TEXT): 7.5, Prediction(NEGATIVE): -6.5, Prediction(NOISE): -1.0}
    assert coefficients("-2 * (s - a) / 5 text + .5 empty @nearby") == {
        Prediction(TEXT): pytest.approx(-2.9), Prediction(EMPTY, NEARBY): 0.5}


def test_a_sign_before_the_first_term_and_texts_in_quotes():
    assert coefficients('- "a + b" + text') == {Prediction('"a + b"'): -1.0, Prediction(TEXT): 1.0}


def test_terms_of_one_prediction_are_added_and_zeros_left_out():
    assert coefficients("text + 2 text - a empty", a=0.0) == {Prediction(TEXT): 3.0}
    assert coefficients("s text + (1 - s) negative", s=1.0) == {Prediction(TEXT): 1.0}


def test_comparisons_are_one_or_zero_for_each_sample():
    t = torch.tensor([0.1, 0.2, 0.3])
    assert coefficients("(t >= 0.2) text", t=t)[Prediction(TEXT)].tolist() == [0, 1, 1]
    assert coefficients("(t < 0.2) text", t=0.1) == {Prediction(TEXT): 1.0}


@pytest.mark.parametrize("formula, piece", [
    ("s txt", "txt"), ("", "must end"), ("text +", "must end"), ("q text", "q"),
    ("text @there", "here, nearby, source"),
    ("(1 - s text", "must end|no coefficient"), ("2 s text", "2 s"), ("text & noise", "& noise"),
    ("1 < s < 2 text", "<"),
    ("text @nearby 2", "@")])
def test_what_cannot_be_read_is_named(formula, piece):
    with pytest.raises(ValueError, match=piece):
        parse(formula)


def test_only_arithmetic_is_evaluated():
    with pytest.raises(ValueError):
        parse('__import__("os") text')
    with pytest.raises(ValueError):
        parse("s(1) text")

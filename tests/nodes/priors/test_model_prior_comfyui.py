"""Prior from MODEL with ComfyUI's own classes and samplers: tiny random models of noise, velocity and flow.

Runs where the environment variable COMFYUI_DIR names a checkout of ComfyUI; COMFYUI_PYTHON may name the interpreter
that has its requirements. comfyui_measure.py runs inside it, once; what it measured is judged here.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMFYUI = os.environ.get("COMFYUI_DIR")
pytestmark = pytest.mark.skipif(not COMFYUI, reason="set COMFYUI_DIR to a checkout of ComfyUI to test inside it")
SCRIPT = Path(__file__).with_name("comfyui_measure.py")
every_kind = pytest.mark.parametrize("kind", ["eps", "v", "flow", "sdxl", "sd3"])


@pytest.fixture(scope="module")
def measured():
    run = subprocess.run([os.environ.get("COMFYUI_PYTHON", sys.executable), str(SCRIPT)], cwd=COMFYUI,
                         capture_output=True,
                         text=True, timeout=900, env={**os.environ, "PYTHONPATH": str(COMFYUI),
                                                      "PYTHONDONTWRITEBYTECODE": "1"})
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert run.returncode == 0 and lines, run.stderr[-6000:]
    return json.loads(lines[-1].removeprefix("MEASURED "))


@every_kind
def test_the_residual_is_eps_hat_minus_noise(measured, kind):
    assert measured[kind]["identity"] < 1e-5


@pytest.mark.parametrize("kind", ["flow", "sd3"])
def test_the_residual_of_a_flow_model_is_v_hat_minus_v_by_its_own_sigma(measured, kind):
    assert measured[kind]["identity of v"] < 1e-5


@every_kind
def test_noise_is_added_as_the_model_was_trained(measured, kind):
    assert measured[kind]["scaling"] < 1e-6
    assert measured[kind]["samplers"] < 1e-6


@every_kind
def test_mixed_noise_levels_and_views_equal_one_by_one(measured, kind):
    assert measured[kind]["one by one"] < 1e-5
    assert measured[kind]["other lengths"] < 1e-5  # one view's prompt has more tokens than the others'
    assert measured[kind]["only the changed view"]


@every_kind
def test_latents_are_in_the_models_space(measured, kind):
    assert measured[kind]["encoded"] < 1e-5


@every_kind
def test_both_conditions_go_through_the_network_at_once(measured, kind):
    assert measured[kind]["one batch"]


@every_kind
def test_it_is_what_the_hosts_sampler_sees(measured, kind):
    assert measured[kind]["host's sampler"] < 2e-5


@every_kind
def test_the_model_stays_as_it_was(measured, kind):
    assert all(measured[kind][fact] for fact in ("released", "weights kept", "ksampler kept", "ordinary tensors"))


def test_the_encoder_is_the_hosts_with_gradients(measured):
    vae = measured["vae"]
    assert vae["value"] < 1e-5 and vae["decode"] < 1e-5
    assert vae["slope"] < 5e-3  # against central differences in float32
    assert vae["shape"] == [2, 4, 8, 8] and vae["a quarter"] == [1, 4, 8, 8]
    assert vae["latents pass"] and vae["no decoder"] and vae["weights kept"]


@pytest.mark.parametrize("name, batches", [("plain", [8]), ("control", [8]), ("late control", [2, 2, 2, 2])])
def test_wired_conditions_and_controlnets_act_as_in_the_hosts_sampler(measured, name, batches):
    assert measured["wired"][name] < 2e-5
    assert measured["wired"][f"{name} batches"] == batches  # what holds for some noise levels is asked view by view


def test_models_that_share_a_checkpoint_take_turns(measured):
    lora = measured["lora"]
    assert lora["lora is the host's"] < 1e-5 < lora["lora matters"]
    assert lora["turns"] and lora["ksampler kept"] and lora["weights kept"]


def test_a_run_is_named_by_what_its_model_is(measured):
    same_node_again, with_lora, equal_weights, readable = measured["lora"]["names"]
    assert same_node_again and with_lora and equal_weights and readable
    assert all(length == 20 for name, length in measured["loss"].items() if name.startswith("fingerprint"))


def test_conditions_are_prepared_when_they_change(measured):
    # same, same, other views, smaller batch, the first again, larger batch: (conditions, loaded models)
    assert measured["preparing"]["counts"] == [[1, 1], [1, 1], [2, 1], [3, 1], [3, 1], [4, 2]]


def test_score_distillation_reaches_the_pixels(measured):
    assert all(value for name, value in measured["loss"].items() if not name.startswith("fingerprint"))


@pytest.mark.parametrize("kind", ["eps", "v", "sdxl", "patched"])
def test_a_lora_is_trained_beside_a_copy_of_the_network(measured, kind):
    tuned = measured["tuned"][kind]
    assert tuned["untrained"] < 1e-5  # the MODEL's own patches are in the copy
    assert tuned["errors"][-1] < 0.85 * tuned["errors"][0] and tuned["all trained"] and tuned["stays"]
    assert tuned["prediction"] == ("v_prediction" if kind == "v" else "epsilon")


def test_networks_without_separate_projections_are_explained(measured):
    assert measured["tuned"]["sd3"].startswith("LoRA Prior: a ") and "to_q" in measured["tuned"]["sd3"]


def test_sample_prior_reaches_the_distribution_of_a_known_flow(measured):
    assert abs(measured["sampling"]["mean"] - 0.7) < 0.03 and abs(measured["sampling"]["deviation"] - 0.2) < 0.04

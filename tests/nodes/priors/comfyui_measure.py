"""Run by test_model_prior_comfyui.py with ComfyUI's interpreter inside its checkout: measures, and prints one JSON
object."""
import importlib.util
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parts"))
from comfyui_tiny import CPU, SIDE, make_clip, make_model, make_vae, with_control, with_lora  # first: asks for the CPU

# isort: split
import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import torch

PACK = Path(__file__).resolve().parents[3]
KINDS, TIMES = ("eps", "v", "flow", "sdxl", "sd3"), torch.tensor([20, 300, 700, 980])
TEXTS = ["a cube, front view", "a cube, side view", "a cube, back view", "a cube, side view"]


def load_pack():
    spec = importlib.util.spec_from_file_location("distill3d", PACK / "__init__.py",
                                                  submodule_search_locations=[str(PACK)])
    sys.modules["distill3d"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["distill3d"])


def gap(one, other):
    """The largest difference, relative to the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def host_denoise(model, x, sigma, positive, negative, cfg):
    """The host's own guided answer, in the model's space: one Euler step from sigma to nothing."""
    with torch.inference_mode():
        noise = x / sigma  # of an empty latent image the sampler makes sigma noise, for every kind of model
        out = comfy.sample.sample_custom(model, noise, cfg, comfy.samplers.sampler_object("euler"),
                                         torch.stack([sigma, torch.zeros(())]), positive, negative, torch.zeros_like(x),
                                         seed=0)
        return model.model.process_latent_in(out)


@torch.inference_mode()
def ksampler(model, positive, negative):
    noise = draw(1, model.get_model_object("latent_format").latent_channels, 8, 8, seed=9)
    return comfy.sample.sample(model, noise, 3, 4.0, "euler", "normal", positive, negative, torch.zeros_like(noise),
                               seed=0, disable_pbar=True)


def weights_of(module):
    return torch.cat([value.flatten().double() for value in module.state_dict().values()]).clone()


def watch(inner):
    """The network's raw answers, as they come."""
    seen = []
    inner.diffusion_model.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    return seen


def measure_kind(kind, nodes, vae, clip):
    model = make_model(kind)
    channels = model.get_model_object("latent_format").latent_channels
    vae = vae if channels == 4 else make_vae(channels)
    found = {}
    encoded = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (TEXTS[1], "")]
    kept, sampled = weights_of(model.model), ksampler(model, *encoded)
    recipe = nodes["node"].execute(model, vae, clip, resolution=SIDE).args[0]
    priors = nodes["LoadedPriors"](CPU)
    with torch.inference_mode(False), torch.enable_grad():
        prior = priors(recipe)
        z, noise = draw(4, channels, 8, 8), draw(4, channels, 8, 8, seed=2)
        x, sigma = prior.add_noise(z, noise, TIMES), prior.sigma(TIMES).view(-1, 1, 1, 1)
        rows = prior.encode_prompts(TEXTS)
        nothing = prior.encode_prompts([""] * 4)
        raw = watch(model.model)
        z0, = prior.denoise(x, TIMES, [rows], None)
        found["ordinary tensors"] = not (z0.is_inference() or z0.requires_grad)
        out, = raw
        # eps_hat from the network's answer, by the textbook of each kind.
        abar, flow = 1 / (1 + sigma**2), sigma / (1 + sigma)
        hat = {"v": abar.sqrt() * out + (1 - abar).sqrt() * (x * abar.sqrt()), "flow": x + (1 - flow) * out,
               "sd3": x + (1 - flow) * out}.get(kind, out)
        found["identity"] = gap((z - z0) / sigma, hat - noise)
        if kind in ("flow", "sd3"):
            found["identity of v"] = gap((z - z0) / flow, out - (noise - z))
            found["scaling"] = gap(x, (1 - flow) * z + flow * noise)
        else:
            found["scaling"] = gap(x, z + sigma * noise)
        # x = z + sigma noise, brought into the prior's scaling: what samplers rely on.
        found["samplers"] = gap(prior.add_noise(z + sigma * noise, torch.zeros_like(z), TIMES), x)

        negative, positive = prior.denoise(x, TIMES, [nothing, rows], None)
        found["one batch"] = [len(one) for one in raw[1:]] == [8]
        ones = [prior.denoise(x[i:i + 1], TIMES[i:i + 1],
                              [prior.encode_prompts([""]), prior.encode_prompts([TEXTS[i]])], None)
                for i in range(4)]
        found["one by one"] = max(gap(batch, torch.cat(parts))
                                  for batch, parts in zip((negative, positive), zip(*ones)))
        turned, = prior.denoise(x, TIMES, [prior.encode_prompts([*TEXTS[:2], TEXTS[0], TEXTS[3]])], None)
        changed = (turned - positive).abs().amax((1, 2, 3)) > 1e-4 * positive.abs().max()
        found["only the changed view"] = changed.tolist() == [False, False, True, False]
        guided = negative + 4.0 * (positive - negative)
        long = prior.denoise(x[:2], TIMES[:2], [prior.encode_prompts(["a cube " + "and a "
                                                                      "cube " * 40, TEXTS[1]])], None)[0]
        found["other lengths"] = gap(long[1:], positive[1:2])
        priors.release()
    reference = [host_denoise(model, x[i:i + 1], prior._sigmas[TIMES[i]],
                              clip.encode_from_tokens_scheduled(clip.tokenize(TEXTS[i])), encoded[1], 4.0)
                 for i in range(4)]
    found["host's sampler"] = max(gap(guided[i:i + 1], reference[i]) for i in range(4))
    with torch.inference_mode():
        rgb = torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(4))
        found["encoded"] = gap(prior.encode_image(rgb).clean, model.model.process_latent_in(vae.encode(rgb)))
    found["released"] = model.model.current_patcher is None
    found["weights kept"] = bool(torch.equal(kept, weights_of(model.model)))
    found["ksampler kept"] = bool(torch.equal(sampled, ksampler(model, *encoded)))
    return found


def measure_vae(nodes, vae, clip):
    model, found = make_model("eps"), {}
    kept = weights_of(vae.first_stage_model)
    prior = nodes["node"].execute(model, vae, clip, resolution=SIDE).args[0].load(nodes["LoadedPriors"](CPU))
    with torch.inference_mode(False), torch.enable_grad():
        rgb = torch.rand(2, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(4))
        with torch.inference_mode():
            reference = model.model.process_latent_in(vae.encode(rgb))
        leaf = rgb.clone().requires_grad_()
        z = prior.encode_image(leaf).clean
        found["value"] = gap(z.detach(), reference)
        found["shape"] = list(z.shape)
        found["a quarter"] = list(prior.encode_image(torch.rand(1, 16, 16, 3)).clean.shape)
        towards, direction = draw(*z.shape), draw(*rgb.shape, seed=6)
        (z * towards).sum().backward()
        step = 1e-3
        with torch.no_grad():
            change = prior.encode_image(rgb + step * direction).clean - prior.encode_image(rgb - step * direction).clean
        numeric = (change * towards).sum() / (2 * step)
        found["slope"] = abs(float((leaf.grad * direction).sum() / numeric) - 1)
        found["latents pass"] = bool(torch.equal(prior.encode_image(z.detach().permute(0, 2, 3, 1)).clean, z.detach()))
        picture = prior.decode_image(z)
        with torch.inference_mode():
            found["decode"] = gap(picture, vae.decode(model.model.process_latent_out(z.detach())))
    names = dict(prior.vae.encoder.named_parameters())
    found["no decoder"] = not any(name.startswith(("decoder",
                                                   "post_quant")) for name in names) and "quant_conv.weight" in names
    found["weights kept"] = bool(torch.equal(kept, weights_of(vae.first_stage_model)))
    return found


def measure_wired(nodes, vae, clip):
    """CONDITIONING instead of a CLIP, with and without a ControlNet, against the host's own sampler."""
    found = {}
    plain = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (TEXTS[0], "ugly")]
    for name, (positive, negative) in {"plain": plain, "control": with_control(*plain),
                                       "late control": with_control(*plain, (0.5, 1.0))}.items():
        model = make_model("eps")
        prior = nodes["node"].execute(model, vae, None, positive, negative,
                                      SIDE).args[0].load(nodes["LoadedPriors"](CPU))
        with torch.inference_mode(False), torch.enable_grad():
            x = prior.add_noise(draw(4, 4, 8, 8), draw(4, 4, 8, 8, seed=2), TIMES)
            conditions = [prior.encode_prompts([text] * 4) for text in ("", "a cube")]
            raw = watch(model.model)
            one, other = prior.denoise(x, TIMES, conditions, None)
            found[f"{name} batches"] = [len(answer) for answer in raw]
            prior.release()
        reference = torch.cat([host_denoise(model, x[i:i + 1], prior._sigmas[TIMES[i]], positive, negative, 4.0)
                               for i in range(4)])
        found[name] = gap(one + 4.0 * (other - one), reference)
    return found


def measure_lora(nodes, vae, clip):
    """Two priors that share one checkpoint, one of them with a LoRA, take turns."""
    model = make_model("eps")
    patched, found = with_lora(model), {}
    encoded = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (TEXTS[0], "")]
    kept, sampled = weights_of(model.model), ksampler(model, *encoded)
    priors = nodes["LoadedPriors"](CPU)
    x, t = draw(2, 4, 8, 8) * 3, torch.tensor([300, 700])
    answers = {"base": [], "lora": []}
    with torch.inference_mode(False), torch.enable_grad():
        loaded = {"base": priors(nodes["node"].execute(model, vae, clip, resolution=SIDE).args[0]),
                  "lora": priors(nodes["node"].execute(patched, vae, clip, resolution=SIDE).args[0])}
        for name in ("base", "lora", "base", "lora"):
            prior = loaded[name]
            answers[name] += prior.denoise(x, t, [prior.encode_prompts([TEXTS[0]] * 2)], None)
        priors.release()
    reference = host_denoise(patched, x[:1], prior._sigmas[t[0]], *encoded, 1.0)
    found["lora is the host's"] = gap(answers["lora"][0][:1], reference)
    found["lora matters"] = gap(answers["lora"][0], answers["base"][0])
    found["turns"] = all(bool(torch.equal(*pair)) for pair in answers.values())
    found["ksampler kept"] = bool(torch.equal(sampled, ksampler(model, *encoded)))
    found["weights kept"] = bool(torch.equal(kept, weights_of(model.model)))
    names = [repr(nodes["node"].execute(one, vae, clip, resolution=SIDE).args[0])
             for one in (model, model, patched, make_model("eps"))]
    found["names"] = [names[0] == names[1], names[0] != names[2], names[0] == names[3],
                      "unreadable" not in "".join(names)]
    return found


def measure_preparing(nodes, vae, clip):
    """How often conditions are prepared and models loaded."""
    prior = nodes["node"].execute(make_model("eps"), vae, clip,
                                  resolution=SIDE).args[0].load(nodes["LoadedPriors"](CPU))
    counts = {}

    def counted(module, name):
        original = getattr(module, name)

        def call(*args, **kwargs):
            counts[name] = counts.get(name, 0) + 1
            return original(*args, **kwargs)
        setattr(module, name, call)

    counted(comfy.samplers, "process_conds")
    counted(comfy.sampler_helpers, "prepare_sampling")
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        for batch, texts in ((2, TEXTS[:2]), (2, TEXTS[:2]), (2, TEXTS[1:3]), (1, TEXTS[:1]), (2, TEXTS[:2]),
                             (3, TEXTS[:3])):
            conditions = [prior.encode_prompts([""] * batch), prior.encode_prompts(texts)]
            prior.denoise(draw(batch, 4, 8, 8), TIMES[:batch], conditions, None)
            found.append([counts.get("process_conds", 0), counts.get("prepare_sampling", 0)])
        prior.release()
    return {"counts": found}


def measure_loss(nodes, vae, clip):
    """SDS through the whole prior, as Optimize runs it, and the name of its run."""
    from distill3d.nodes.core.cameras import turntable
    from distill3d.nodes.core.loss import Look, RunContext
    from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
    from distill3d.nodes.core.rendering import Rendering
    from distill3d.nodes.core.rng import Streams
    from distill3d.nodes.losses.sds import SDS
    from distill3d.nodes.optimize.fingerprint import fingerprint

    found = {}
    for kind in ("eps", "flow"):
        recipe = nodes["node"].execute(make_model(kind), vae, clip, resolution=SIDE).args[0]
        for views in ("front/side/back/overhead", INTERPOLATED):
            loss = SDS(recipe, Prompt("a cube", views=views))
            priors = nodes["LoadedPriors"](CPU)
            with torch.inference_mode(False), torch.enable_grad():
                rgb = torch.rand(4, 32, 32, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
                prepared = loss.prepare(RunContext(CPU, 0, priors))
                prepared(Look(Rendering(rgb=rgb), turntable(4, 0.2, 3, 0.7, 32), 0, 10, Streams(0, 0), None,
                              None)).value.backward()
                priors.release()
            found[f"{kind} {views}"] = bool(torch.isfinite(rgb.grad).all() and rgb.grad.abs().max() > 0)
            found[f"fingerprint {kind} {views}"] = len(fingerprint(loss))
    return found


def measure_tuned(nodes, vae, clip):
    """A LoRA Prior on a MODEL: its answers before training, its error and its gradients, and what is left on the
    MODEL."""
    from distill3d.nodes.core.cameras import turntable
    from distill3d.nodes.core.errors import DistillError
    from distill3d.nodes.core.prior import Encoded
    from distill3d.nodes.priors.lora_prior import LoRA

    found = {}
    with torch.inference_mode(False):
        cameras = turntable(4, 15.0, 3.0, 40.0, 8)
    for kind in ("eps", "v", "sdxl", "patched"):
        model = with_lora(make_model("eps")) if kind == "patched" else make_model(kind)
        recipe = nodes["node"].execute(model, vae, clip, resolution=SIDE).args[0]
        priors = nodes["LoadedPriors"](CPU)
        with torch.inference_mode(False), torch.enable_grad():
            prior, tuned = priors(recipe), priors(LoRA(recipe))
            z, noise = draw(4, 4, 8, 8), draw(4, 4, 8, 8, seed=2)
            x, rows = prior.add_noise(z, noise, TIMES), prior.encode_prompts(TEXTS)
            before, = prior.denoise(x, TIMES, [rows], cameras)
            loaded = weights_of(model.model)
            with torch.no_grad():
                untrained, = tuned.denoise(x, TIMES, [rows], cameras)
            errors, optimizer = [], torch.optim.Adam(tuned.adapter.parameters(), lr=0.02)
            for seed in range(8):
                error = tuned.error(Encoded(z), draw(4, 4, 8, 8, seed=10 + seed), TIMES, rows, cameras)
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                errors.append(error.item())
            after, = prior.denoise(x, TIMES, [rows], cameras)
            found[kind] = {"untrained": gap(untrained, before), "errors": errors, "prediction": tuned.base.prediction,
                           "stays": torch.equal(after, before) and torch.equal(loaded, weights_of(model.model)),
                           "all trained": all(bool(one.grad.abs().max() > 0) for one in tuned.adapter.parameters())}
            priors.release()
    recipe = nodes["node"].execute(make_model("sd3"), make_vae(16), clip, resolution=SIDE).args[0]
    try:
        LoRA(recipe).load(nodes["LoadedPriors"](CPU)).adapter
    except DistillError as error:
        found["sd3"] = str(error)
    return found


def measure_sampling(nodes, vae, clip):
    """Sample Prior's loop with a flow model whose best denoiser is known: pixels of z are N(m, d^2)."""
    from distill3d.nodes.priors.sample_prior import sample

    model, mean, deviation = make_model("flow"), 0.7, 0.2

    def velocity(x, timesteps, **_):
        s = (timesteps / 1000).view(-1, 1, 1, 1)
        gain = (1 - s) * deviation**2 / ((1 - s) ** 2 * deviation**2 + s**2)
        z0 = mean + gain * (x - (1 - s) * mean)
        return (x - z0) / s

    model.model.diffusion_model.forward = velocity
    prior = nodes["node"].execute(model, vae, clip, resolution=SIDE).args[0].load(nodes["LoadedPriors"](CPU))
    prior.decode_image = lambda z: z
    with torch.inference_mode(False):
        *_, z = sample(prior, [""] * 8, steps=200, guidance=1.0, clamp=False)
        prior.release()
    return {"mean": float(z.mean()), "deviation": float(z.std())}


def main():
    load_pack()
    from distill3d.nodes.core.prior import LoadedPriors
    from distill3d.nodes.priors.model_prior import PriorFromModelNode

    PriorFromModelNode.GET_SCHEMA()
    with torch.inference_mode():  # as the host runs nodes
        nodes, vae, clip = {"node": PriorFromModelNode, "LoadedPriors": LoadedPriors}, make_vae(), make_clip()
        found = {kind: measure_kind(kind, nodes, vae, clip) for kind in KINDS}
        for part in (measure_vae, measure_wired, measure_lora, measure_preparing, measure_loss, measure_tuned,
                     measure_sampling):
            found[part.__name__.removeprefix("measure_")] = part(nodes, vae, clip)
    print("MEASURED " + json.dumps(found))


if __name__ == "__main__":
    main()

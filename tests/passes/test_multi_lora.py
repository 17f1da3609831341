"""That adapters kept apart do what merged ones do, and which of them are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from pass_support import PROMPT, Runner, filled_in, hashes, next_logits

from evaluators.base import Artifact, MeasurementError
from evaluators.latency import Latency
from evaluators.runtimes.genai import Generation
from evaluators.runtimes.scoring import Scoring
from search_spaces.candidates import Candidate, CandidateStep, complete
from search_spaces.vocabulary import Value
from tuner.passes import PassError, all_passes
from tuner.pipeline.plan import Source, measurement_plan, plan

Models = Callable[[str], Artifact]
Strong = Callable[..., Artifact]


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Strong:
    """A function that makes an adapter of a base that changes its answers a lot."""

    def make(base: Artifact, name: str = "adapter", seed: int = 1, **config: Any) -> Artifact:
        import torch
        from peft import LoraConfig, get_peft_model

        from tuner.models.checkpoint import load_causal

        torch.manual_seed(seed)
        settings = LoraConfig(**({"r": 4, "target_modules": "all-linear"} | config))
        model = get_peft_model(load_causal(base, torch.float32), settings)
        for key, tensor in model.named_parameters():
            if ".lora_B." in key:
                torch.nn.init.normal_(tensor, std=0.05)
        folder = tmp_path_factory.mktemp("strong") / name
        model.save_pretrained(folder)
        return Artifact("adapter", folder, base)

    return make


def with_active(model: Artifact, name: str, tmp_path: Path) -> Artifact:
    """The same model with another of its adapters active."""
    folder = Path(shutil.copytree(model.path, tmp_path / name))
    listing = folder / "adapters.json"
    listing.write_text(json.dumps(json.loads(listing.read_text()) | {"active": name}))
    return Artifact("genai", folder)


def without_adapters(model: Artifact, tmp_path: Path) -> Artifact:
    """The same model with nothing said of adapters."""
    folder = Path(shutil.copytree(model.path, tmp_path / "without"))
    (folder / "adapters.json").unlink()
    return Artifact("genai", folder)


def scored(model: Artifact) -> np.ndarray:
    """The logits after PROMPT as accuracy sees them."""
    ids = np.array([tiny_models.tokenizer()(PROMPT).input_ids], np.int64)
    return Scoring(model.path).step(ids, None, keep=False)[0][0]


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True, "lora_alpha": 3, "r": 7},
        {"target_modules": ["o_proj", "down_proj"], "rank_pattern": {"o_proj": 2}},
        {"alpha_pattern": {"layers.0.*o_proj": 90}, "target_modules": ["o_proj"]},
    ],
    ids=["all", "rslora", "some-ranks", "alphas"],
)
def test_adapter_kept_apart_gives_what_the_merged_model_does(
    config: dict[str, Any], models: Models, strong: Strong, run_pass: Runner
) -> None:
    adapter = strong(models("hf"), **config)
    merged = run_pass("genai_builder", run_pass("merge_adapter", adapter), precision="fp32")
    apart = run_pass("multi_lora", adapter, precision="fp32")
    expected = next_logits(merged)
    assert np.abs(expected - next_logits(models("hf"))).max() > 0.5
    close(next_logits(apart), expected)
    close(scored(apart), expected)


def test_without_an_adapter_or_with_the_zero_one_it_is_the_base(
    models: Models, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    apart = run_pass("multi_lora", strong(models("hf")), precision="fp32")
    base = next_logits(models("hf"))
    close(next_logits(without_adapters(apart, tmp_path)), base)
    close(next_logits(with_active(apart, "base", tmp_path)), base)
    close(scored(with_active(apart, "base", tmp_path / "other")), base)


def test_model_without_an_adapter_is_its_own_base(
    phi3: Artifact, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    alone = run_pass("multi_lora", phi3)
    assert hashes(alone.path) == hashes(run_pass("genai_builder", phi3).path)
    more = strong(phi3, "more")
    beside = run_pass("multi_lora", phi3, precision="fp32", adapters=(str(more.path),))
    close(next_logits(beside), next_logits(phi3))
    merged = run_pass("genai_builder", run_pass("merge_adapter", more), precision="fp32")
    close(next_logits(with_active(beside, "more", tmp_path)), next_logits(merged))


def test_adapters_of_other_ranks_and_modules_share_a_folder(
    phi3: Artifact, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    wide = strong(phi3, "wide", 2, r=16)
    narrow = strong(phi3, "narrow", 3, r=2, target_modules=["o_proj"])
    adapters = tuple(str(adapter.path) for adapter in (wide, narrow))
    apart = run_pass("multi_lora", strong(phi3), precision="fp32", adapters=adapters)
    assert sorted(json.loads((apart.path / "adapters.json").read_text())["adapters"]) == [
        "base",
        "narrow",
        "tuned",
        "wide",
    ]
    for name, adapter in (("wide", wide), ("narrow", narrow)):
        merged = run_pass("genai_builder", run_pass("merge_adapter", adapter), precision="fp32")
        close(next_logits(with_active(apart, name, tmp_path)), next_logits(merged))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"algorithm": "rtn"},
        {"algorithm": "k_quant", "block_size": 16},
        {"execution_provider": "cuda"},
        {"execution_provider": "dml", "precision": "fp16"},
        {"execution_provider": "webgpu", "precision": "int8"},
        {"execution_provider": "NvTensorRtRtx", "precision": "fp16"},
    ],
)
def test_base_is_quantised_as_without_adapters_which_stay_exact(
    changes: dict[str, Value], models: Models, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    changes = {"accuracy_level": 1, "fuse_qkv": False} | changes
    built = run_pass("genai_builder", models("hf"), **changes)
    del changes["fuse_qkv"]
    adapter = strong(models("hf"))
    apart = run_pass("multi_lora", adapter, **changes)
    # Activations in fp16 are rounded after each of the graph's few more operators.
    tolerance = 1e-2 if "execution_provider" in changes else 1e-4
    close(scored(with_active(apart, "base", tmp_path)), scored(built), tolerance)
    exact = scored(run_pass("multi_lora", adapter, precision="fp32"))
    by_rounding = np.abs(scored(built) - next_logits(models("hf"))).mean()
    assert np.abs(scored(apart) - exact).mean() < 2 * by_rounding + 1e-3


def test_adapters_are_never_quantised(
    phi3: Artifact, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    import onnx
    import onnxruntime as ort
    from safetensors.numpy import load_file

    adapter = strong(phi3, r=4, lora_alpha=12)
    apart = run_pass("multi_lora", adapter, precision="int4")
    graph = onnx.load(apart.path / "model.onnx", load_external_data=False).graph
    small = {node.op_type for node in graph.node if "/lora_" in node.name}
    large = {node.op_type for node in graph.node if node.name.endswith("MatMul_Q4")}
    assert (small, large) == ({"MatMul"}, {"MatMulNBits"})
    file = ort.AdapterFormat.read_adapter(str(apart.path / "adapters" / "tuned.onnx_adapter"))
    stored = {name: value.numpy() for name, value in file.get_parameters().items()}
    trained = load_file(adapter.path / "adapter_model.safetensors")
    down = "model.layers.1.mlp.down_proj"
    close(stored[f"{down}.lora_A.weight"].T, trained[f"base_model.model.{down}.lora_A.weight"], 0)
    b = trained[f"base_model.model.{down}.lora_B.weight"]
    close(stored[f"{down}.lora_B.weight"].T, 3 * b, 0)


def test_adapter_trained_on_packed_weights_stays_beside_them(
    models: Models, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    packed = models("quantized")
    adapter = strong(packed)
    options: dict[str, Value] = {
        "precision": "int4",
        "accuracy_level": 1,
        "share_embeddings": False,
        "unquantized_nodes": ("/lm_head/MatMul",),
    }
    apart = run_pass("multi_lora", adapter, **options)
    close(scored(apart), next_logits(adapter), 1e-3)
    close(next_logits(apart), next_logits(adapter), 1e-3)
    close(scored(with_active(apart, "base", tmp_path)), next_logits(packed), 1e-3)


def test_packed_base_gets_adapters_by_name_beside_it(
    models: Models, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    packed = models("quantized")
    adapter = strong(packed)
    answer = tmp_path / "answer"
    shutil.copytree(adapter.path, answer / "model")
    options: dict[str, Value] = {
        "accuracy_level": 1,
        "share_embeddings": False,
        "unquantized_nodes": ("/lm_head/MatMul",),
        "adapters": (f"joy={adapter.path}", str(answer)),
    }
    beside = run_pass("multi_lora", packed, **options)
    listing = json.loads((beside.path / "adapters.json").read_text())
    assert (sorted(listing["adapters"]), listing["active"]) == (["answer", "base", "joy"], "base")
    close(next_logits(beside), next_logits(packed), 1e-3)
    close(next_logits(with_active(beside, "joy", tmp_path)), next_logits(adapter), 1e-3)


def test_size_and_bytes_of_the_model_do_not_depend_on_the_adapters_numbers(
    phi3: Artifact, strong: Strong, run_pass: Runner
) -> None:
    one, other = (hashes(run_pass("multi_lora", strong(phi3, seed=seed)).path) for seed in (1, 2))
    assert {name for name in one if one[name] != other[name]} == {"adapters/tuned.onnx_adapter"}


def test_generation_has_the_active_adapter(
    phi3: Artifact, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    apart = run_pass("multi_lora", strong(phi3), precision="fp32")
    prompt = np.array([tiny_models.tokenizer()(PROMPT).input_ids], np.int32)
    texts = []
    for model in (apart, with_active(apart, "base", tmp_path)):
        generation = Generation(model.path)
        generator = generation._start(prompt, 8)
        for _ in range(8):
            generator.generate_next_token()
        texts.append((generation.conditions()["adapter"], list(generator.get_sequence(0))))
    assert [name for name, _ in texts] == ["tuned", "base"]
    assert texts[0][1] != texts[1][1]


def test_missing_adapter_file_is_reported(phi3: Artifact, strong: Strong, run_pass: Runner) -> None:
    apart = run_pass("multi_lora", strong(phi3), precision="fp32")
    (apart.path / "adapters" / "tuned.onnx_adapter").unlink()
    with pytest.raises(MeasurementError, match="there is no such adapter"):
        Scoring(apart.path)


def test_adapter_of_another_base_is_refused_before_building(
    phi3: Artifact, llama: Artifact, strong: Strong, run_pass: Runner, tmp_path: Path
) -> None:
    wider = Artifact("hf", tiny_models.save_phi3(tmp_path / "wider", intermediate_size=96))
    with pytest.raises(PassError, match=r"down_proj takes 96 inputs .* takes 128"):
        run_pass("multi_lora", strong(phi3), adapters=(str(strong(wider, "wider").path),))
    with pytest.raises(PassError, match=r"changes model\.layers\.0\.mlp\.gate_proj, which"):
        run_pass("multi_lora", strong(phi3), adapters=(str(strong(llama, "other").path),))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "replaces whole modules"),
        ({"bias": "all"}, "trained biases"),
        ({"init_lora_weights": "pissa"}, r"start \(pissa\)"),
        ({"peft_type": "IA3"}, "is a IA3 adapter, expected LORA"),
    ],
)
def test_what_is_no_plain_lora_is_refused_in_words(
    change: dict[str, Any],
    said: str,
    phi3: Artifact,
    strong: Strong,
    run_pass: Runner,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(strong(phi3).path, tmp_path / "odd"))
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(PassError, match=said):
        run_pass("multi_lora", Artifact("adapter", folder, phi3))
    problems = checked(adapters=(str(folder),))
    assert len(problems) == 1


def checked(**changes: Value) -> list[str]:
    pass_ = all_passes()["multi_lora"]
    return pass_.check(filled_in(pass_, changes, "adapter"))


def test_folders_that_are_no_adapters_or_have_taken_names_are_refused(
    phi3: Artifact, strong: Strong, tmp_path: Path
) -> None:
    assert "no adapter" in checked(adapters=(str(tmp_path),))[0]
    (base,) = checked(adapters=(str(strong(phi3, "base").path),))
    assert "named as the one that changes nothing" in base
    twice = tuple(str(strong(phi3, "same", seed).path) for seed in (1, 2))
    (again,) = checked(adapters=twice)
    assert again.endswith("same; NAME=FOLDER gives it another name")
    assert checked(adapters=(twice[0], f"other={twice[1]}")) == []
    assert len(checked(adapters=(f"tuned={twice[0]}",))) == 1
    assert "no adapter" in checked(adapters=("joy=/no/such/folder",))[0]
    assert "bf16" in checked(precision="bf16")[0]


def test_content_of_further_adapters_is_a_part_of_the_key(phi3: Artifact, strong: Strong) -> None:
    pass_ = all_passes()["multi_lora"]
    folder = strong(phi3, "more").path
    parameters = filled_in(pass_, {"adapters": (str(folder),)}, "adapter")
    before = dict(pass_.environment(parameters))
    other = strong(phi3, "more", seed=9).path
    shutil.copyfile(other / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    assert pass_.environment(parameters) != before
    before = dict(pass_.environment(parameters))
    config = folder / "adapter_config.json"
    renamed = json.loads(config.read_text()) | {"base_model_name_or_path": "/another/place"}
    config.write_text(json.dumps(renamed))
    assert dict(pass_.environment(parameters)) == before
    shutil.rmtree(folder)
    assert dict(pass_.environment(parameters)) == {"adapters/more": "absent"}


def latency_keys(*passes: str) -> set[str]:
    """The keys of the latency of two candidates whose adapters differ in their rank."""
    keys = set()
    for rank in (4, 16):
        specs = [all_passes()[name].spec for name in ("lora", *passes)]
        steps, model_format = [], "hf"
        for spec in specs:
            chosen: dict[str, Value] = {"r": rank} if spec.name == "lora" else {}
            parameters = complete(spec, chosen, model_format)
            steps.append(CandidateStep(spec.name, spec, parameters))
            model_format = spec.gives or model_format
        source = Source("model", "text-classification", {"train": "rows"})
        stages = plan(Candidate({}, tuple(steps)), source, all_passes())
        where = measurement_plan(Latency(), {}, stages, all_passes(), source, "dev", {})
        keys.add(where.key(0))
    return keys


def test_ranks_share_one_latency_where_adapters_are_merged_and_not_where_they_stay() -> None:
    assert len(latency_keys("merge_adapter", "genai_builder")) == 1
    assert len(latency_keys("multi_lora")) == 2

"""`tune generate`: text from built models of every format, through the command line."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runtime_support import adapted, quantised, save_like, served

from tuner.cli.main import _dispatch

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = _dispatch(["generate", *map(str, arguments)])
        except SystemExit as exit_:
            code = int(str(exit_.code))
        found = capfd.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture(scope="module")
def packed(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantised(tiny_llama, tmp_path_factory.mktemp("packed"))[0].path


@pytest.fixture(scope="module")
def adapter(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return adapted(tiny_phi3, tmp_path_factory.mktemp("adapted"))[0]


@pytest.fixture(scope="module")
def with_adapters(adapter: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served(adapter, tmp_path_factory.mktemp("served") / "model").path


@pytest.fixture(scope="module")
def classifier(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertForSequenceClassification

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertForSequenceClassification.from_pretrained(
            tiny_bert, id2label={0: "joy", 1: "fear"}, label2id={"joy": 0, "fear": 1}
        )
    return save_like(network, tiny_bert, tmp_path_factory.mktemp("classifier"))


def test_greedy_text_is_the_same_every_time_and_times_go_to_standard_error(
    run: Run, tiny_genai: Path
) -> None:
    first = run(tiny_genai, "--prompt", "We danced", "--max-new-tokens", 8)
    second = run(tiny_genai, "--prompt", "We danced", "--max-new-tokens", 8)
    assert first[0] == 0
    assert first[1] == second[1]
    assert "tokens/s" in first[2]
    assert "the first after" in first[2]
    assert "tokens/s" not in first[1]


def counts(times: str) -> list[tuple[str, str]]:
    """How many tokens were read and written, out of the line about times."""
    return re.findall(r"(\d+) tokens,|prompt (\d+);", times)


@pytest.mark.parametrize("raw", [True, False])
def test_torch_and_genai_write_the_same(
    run: Run, tiny_genai: Path, tiny_phi3: Path, raw: bool
) -> None:
    """But for bytes that are no characters: GenAI's stream leaves those out, with what follows."""
    flags = ["--prompt", "The choir hit", "--max-new-tokens", 12, *(["--raw"] if raw else [])]
    built, source = run(tiny_genai, *flags), run(tiny_phi3, *flags)
    assert built[0] == source[0] == 0, (built, source)
    rest = iter(source[1])
    assert built[1].strip()
    assert all(character in rest for character in built[1].strip())
    assert counts(built[2]) == counts(source[2])


def test_an_answers_folder_stands_for_the_model_in_it(
    run: Run, tiny_genai: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_genai, tmp_path / "answer" / "model")
    flags = ("--prompt", "Hello", "--max-new-tokens", 4)
    assert run(tmp_path / "answer", *flags)[1] == run(tiny_genai, *flags)[1]


def test_a_seed_draws_the_same_text_again_and_another_seed_another(
    run: Run, tiny_genai: Path
) -> None:
    def drawn(seed: int) -> str:
        flags = ("--temperature", 2, "--seed", seed, "--max-new-tokens", 12)
        code, out, _ = run(tiny_genai, "--prompt", "Hello", *flags)
        assert code == 0
        return out

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_json_tells_the_text_its_times_and_how_the_model_ran(run: Run, tiny_genai: Path) -> None:
    code, out, _ = run(tiny_genai, "--prompt", "Hello", "--max-new-tokens", 5, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["tokens"] <= 5
    assert found["prompt_tokens"] > 1
    assert 0 < found["first"] <= found["seconds"]
    assert found["conditions"]["device"] == "CPU"


def test_the_prompt_comes_from_standard_input_for_a_dash(
    run: Run, tiny_genai: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße".encode())))
    piped = run(tiny_genai, "--prompt", "-", "--max-new-tokens", 4)
    assert piped[:2] == run(tiny_genai, "--prompt", "Grüße", "--max-new-tokens", 4)[:2]


def test_adapters_beside_a_model_are_chosen_by_name(run: Run, with_adapters: Path) -> None:
    flags = ("--prompt", "We danced", "--max-new-tokens", 12, "--raw")
    own = run(with_adapters, *flags)
    tuned = run(with_adapters, *flags, "--adapter", "tuned")
    base = run(with_adapters, *flags, "--adapter", "base")
    assert own[0] == 0
    assert own[1] == tuned[1] != base[1]
    code, _, err = run(with_adapters, *flags, "--adapter", "tunde")
    assert code == 2
    assert "expected tuned or base; did you mean 'tuned'?" in err


def test_a_peft_adapter_runs_on_its_base_or_without_it(
    run: Run, adapter: Any, tiny_phi3: Path
) -> None:
    flags = ("--prompt", "We danced", "--max-new-tokens", 12, "--raw")
    with_it = run(adapter.path, "--base", tiny_phi3, *flags)
    without = run(adapter.path, "--base", tiny_phi3, "--adapter", "base", *flags)
    named = run(tiny_phi3, "--adapter", adapter.path, *flags)
    plain = run(tiny_phi3, *flags)
    assert with_it[0] == 0, with_it
    assert with_it[1] == named[1] != plain[1]
    assert without[1] == plain[1]


def test_a_packed_checkpoint_writes(run: Run, packed: Path) -> None:
    code, out, err = run(packed, "--prompt", "We danced", "--max-new-tokens", 4)
    assert code == 0, err
    assert out.strip()


def test_an_encoder_tells_labels_apart_and_does_not_chat(run: Run, classifier: Path) -> None:
    code, out, _ = run(classifier, "--prompt", "We danced", "--json")
    assert code == 0
    shares = json.loads(out)
    assert set(shares) == {"joy", "fear"}
    assert sum(shares.values()) == pytest.approx(1)
    for flag in (["--chat"], ["--prompt", "x", "--temperature", "1"]):
        code, _, err = run(classifier, *flag)
        assert code == 2
        assert "is an encoder: it tells labels apart" in err


def test_a_chat_remembers_and_forgets(
    run: Run, tiny_genai: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chat(*lines: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        code, out, err = run(tiny_genai, "--chat", "--max-new-tokens", 4, "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    once = chat("We danced")[0]["prompt_tokens"]
    remembered = chat("We danced", "We danced", "/quit", "not reached")
    forgotten = chat("We danced", "/clear", "We danced")
    assert len(remembered) == 2
    assert remembered[1]["prompt_tokens"] > once
    assert forgotten[1]["prompt_tokens"] == once


def test_a_long_chat_forgets_its_oldest_messages(
    run: Run, tiny_genai: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = " ".join(["We danced barefoot in the kitchen"] * 8)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{line}\n" * 6))
    code, _, err = run(tiny_genai, "--chat", "--max-new-tokens", 4)
    assert code == 0
    assert "no longer fit, and are forgotten" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "  "], "the prompt is empty"),
        (["--prompt", "x", "--adapter", "joy"], "has no adapter 'joy'; it has none"),
        (["--prompt", "x", "--top-p", "0.5"], "needs --temperature above 0"),
        (["--prompt", "x", "--raw", "--system", "Be kind."], "--system needs the chat template"),
        (["--prompt", "We danced " * 400], "in the model's context of 256"),
        (["--prompt", "x", "--base", "."], "expected the folder of a peft adapter"),
        (["--chat", "--prompt", "x"], "not allowed with"),
        ([], "nothing to do: give --prompt TEXT, or --chat"),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(
    run: Run, tiny_genai: Path, arguments: list[str], words: str
) -> None:
    code, out, err = run(tiny_genai, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_a_folder_without_a_model_is_named(run: Run, tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "--prompt", "x")
    assert code == 2
    assert "holds no model that is known" in err
    code, _, err = run(tmp_path / "nothing", "--prompt", "x")
    assert code == 2
    assert "there is no folder" in err


def test_a_damaged_model_is_a_failure_in_words(run: Run, tiny_genai: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_genai, broken)
    (broken / "model.onnx").write_bytes(b"no graph")
    code, _, err = run(broken, "--prompt", "x")
    assert code == 1
    assert "cannot load the model" in err


def test_a_model_without_a_chat_template_continues_the_prompt(
    run: Run, tiny_phi3: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_phi3, bare)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    flags = ("--prompt", "We danced", "--max-new-tokens", 4)
    code, out, err = run(bare, *flags)
    assert code == 0
    assert "no chat template" in err
    assert out == run(tiny_phi3, *flags, "--raw")[1]
    assert run(bare, "--chat")[0] == 2


def test_a_dry_run_loads_nothing(run: Run, tiny_genai: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_genai, broken)
    (broken / "model.onnx").write_bytes(b"no graph")
    code, out, _ = run(broken, "--prompt", "x", "--dry-run")
    assert code == 0
    assert "in the chat template" in out
    assert "at most 256 tokens, greedy" in out

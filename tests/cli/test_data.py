"""`tune data`: what it shows of a data set, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from tuner.cli.main import _dispatch

Capture = pytest.CaptureFixture[str]


def data(capsys: Capture, *arguments: object) -> str:
    """What the command prints."""
    assert _dispatch(["data", *map(str, arguments)]) == 0, capsys.readouterr().err
    found = capsys.readouterr().out
    assert max(map(len, found.splitlines())) <= 80
    return found


def as_json(capsys: Capture, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data_text(capsys, *arguments, "--json"))
    return found


def data_text(capsys: Capture, *arguments: object) -> str:
    assert _dispatch(["data", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def one_line(text: str) -> str:
    return " ".join(text.split())


def refused(capsys: Capture, *arguments: object) -> str:
    """What it says where it can do nothing; a mistake in the words is told by the parser."""
    try:
        code = _dispatch(["data", *map(str, arguments)])
    except SystemExit as left:
        code = int(str(left.code))
    caught = capsys.readouterr()
    assert code == 2
    assert caught.out == ""
    return one_line(caught.err)


def write(folder: Path, rows: Sequence[Mapping[str, object]], name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    words = ("apple", "bread", "cloud", "drum", "eagle", "flute", "grain", "house", "ink", "jar")
    return write(
        tmp_path,
        [{"prompt": f"Say {w}.", "response": f"Well: {w}.", "id": i} for i, w in enumerate(words)],
    )


# What it shows


def test_columns_labels_and_first_rows_are_shown(tone_file: Path, capsys: Capture) -> None:
    shown = data(capsys, tone_file)
    lines = shown.splitlines()
    assert "rows         64" in lines
    assert any(line.split()[:4] == ["tone", "text", "all", "4"] for line in lines)
    assert 'template "Phrase: {phrase}\\nTone: {tone}" (guessed' in one_line(shown)
    assert any(line.split()[-4:] == ["joy", "16", "25.0", "%"] for line in lines)
    assert "no row comes twice" in shown
    assert "    Tone: ⟦joy⟧" in lines


def test_tokens_are_the_model_s_as_training_makes_them(
    tone_file: Path, tiny_llama: Path, capsys: Capture
) -> None:
    template = tiny_models.TEMPLATE
    asked = (tone_file, "--template", template, "--label", "tone", "--model", tiny_llama)
    words = tiny_models.tokenizer()
    lengths = sorted(
        len(words(template.format(**row)).input_ids) + 1 for row in tiny_models.tone_rows()
    )
    [found] = as_json(capsys, *asked, "--max-length", 24)["lengths"]
    assert (found["unit"], found["least"], found["longest"]) == ("tokens", lengths[0], lengths[-1])
    assert found["total"] == sum(lengths)
    assert found["over"] == sum(length > 24 for length in lengths)
    cut = sum(max(0, length - 24) for length in lengths)
    assert found["lost"] == pytest.approx(cut / sum(lengths))
    assert "⟦joy</s>⟧" in data(capsys, *asked)


def test_an_encoder_reads_what_stands_before_the_label(
    tone_file: Path, tiny_bert: Path, capsys: Capture
) -> None:
    template = tiny_models.TEMPLATE
    shown = data(capsys, tone_file, "--template", template, "--label", "tone", "--model", tiny_bert)
    assert "its label joy" in shown
    assert "    <s>### Text: My sister" in shown
    assert "    ### The tone is:</s>" in shown


def test_a_chat_is_shown_in_the_model_s_template(
    questions: Path, tiny_llama: Path, capsys: Capture
) -> None:
    sides = ("--chat-user", "prompt", "--chat-assistant", "response", "--chat-system", "Be kind.")
    shown = data(capsys, questions, *sides, "--model", tiny_llama, "--rows", 1)
    _, _, row = shown.partition("row 1: ")
    assert [line.strip() for line in row.splitlines()[1:]] == [
        *("<|system|>", "Be kind.</s>", "<|user|>", "Say apple.</s>", "<|assistant|>"),
        *("⟦Well: apple.</s>", "⟧"),
    ]
    assert "label        response: answers in words of their own" in shown


def test_conversations_are_found_and_shown(tmp_path: Path, capsys: Capture) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]
    shown = data(capsys, write(tmp_path, [{"said": talk}, {"said": talk[::-1] + talk}]))
    assert "chat, conversations of the column said (guessed" in one_line(shown)
    assert "    assistant: ⟦Oh⟧" in shown
    assert data(capsys, tmp_path / "rows.jsonl", "--messages", "said").count("guessed") == 0


def test_answers_are_guessed_beside_their_prompts(questions: Path, capsys: Capture) -> None:
    reading = as_json(capsys, questions)["reading"]
    assert reading == {"template": "Prompt: {prompt}\nResponse: {response}", "label": "response"}


def test_equal_and_nearly_equal_rows_are_counted(tmp_path: Path, capsys: Capture) -> None:
    text = "the quick brown fox jumps over a lazy dog today"
    rows = [
        {"text": said, "label": label}
        for said, label in (
            *[(f"{w} {w}s own words", "ab"[i % 2]) for i, w in enumerate(("red", "blue", "tan"))],
            *((text, "a"), (text.upper(), "a"), (f"{text} again", "b")),
        )
    ]
    found = as_json(capsys, write(tmp_path, rows))
    [repeated] = [f for f in found["findings"] if f["kind"] == "repeated"]
    assert (repeated["count"], repeated["of"]) == (1, 6)
    assert (found["near"]["count"], found["near"]["of"]) == (1, 5)
    assert "near copies  1 of 5 different rows" in data(capsys, tmp_path / "rows.jsonl")


def test_splits_are_made_as_a_space_makes_them(tone_file: Path, capsys: Capture) -> None:
    asked = (tone_file, "--template", "{phrase}\n{tone}", "--label", "tone")
    found = as_json(capsys, *asked, "--split", "dev=0.2,test=0.2")
    assert found["splits"] == {"train": 40, "dev": 12, "test": 12}
    assert "64 (40 train, 12 dev, 12 test)" in data(capsys, *asked, "--split", "dev=0.2,test=0.2")


def test_the_data_of_a_space_is_shown_as_it_is_read_there(
    tone_file: Path, tiny_llama: Path, tmp_path: Path, capsys: Capture
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        f"model: {tiny_llama}\ntask: text-classification\n"
        f"data:\n  files: {tone_file}\n  chat: {{user: phrase, assistant: tone}}\n"
        "pipeline: [rtn]\nobjectives: [minimize size]\n",
        encoding="utf-8",
    )
    shown = data(capsys, "--space", space, "--rows", 1)
    assert "(40 train, 12 dev, 12 test)" in shown
    assert "<|assistant|>" in shown
    assert "--model FOLDER" not in shown


def test_nothing_to_read_leaves_the_columns(tmp_path: Path, capsys: Capture) -> None:
    shown = data(capsys, write(tmp_path, [{"n": 1}, {"n": 2}]))
    assert "nothing looks like text to read; say how by --template" in one_line(shown)


def test_hostile_cells_do_no_harm(tmp_path: Path, capsys: Capture) -> None:
    evil = "\x1b]0;title\x07\u202e reversed \x00" + "x" * 50_000
    rows = [{"\x1b[2J": "a", "text": evil, "label": "\x1b[31m"}, {"text": "b " * 900, "label": "y"}]
    shown = data(capsys, write(tmp_path, [rows[0], rows[1] | {"\x1b[2J": "z"}]))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert len(shown.splitlines()) < 80
    assert "more lines ..." in shown


def test_wide_characters_are_as_wide_as_they_are(tmp_path: Path, capsys: Capture) -> None:
    from rich.cells import cell_len

    rows = [{"text": "日本語のテキスト" * 60, "label": c} for c in ("嬉しい", "悲しい")]
    assert max(cell_len(s) for s in data(capsys, write(tmp_path, rows)).splitlines()) <= 80


def test_neither_torch_nor_tokenizers_are_imported_without_a_model(tone_file: Path) -> None:
    program = (
        "import sys\nfrom tuner.cli.main import _dispatch\n"
        f"assert _dispatch(['data', {str(tone_file)!r}, '--json']) == 0\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'optuna', 'pandas', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "expected FILE, or --space SPACE"),
        (("nowhere.jsonl",), "there is no such file"),
        (("{file}", "--template", "{phrse}"), "no column 'phrse'; there is 'phrase', 'tone'"),
        (("{file}", "--template", "{phrse}"), "did you mean 'phrase'?"),
        (("{file}", "--template", "{phrase"), "template: "),
        (("{file}", "--template", "plain"), "no {column} in it"),
        (
            ("{file}", "--template", "{tone} {phrase}", "--label", "tone"),
            "not the last placeholder",
        ),
        (("{file}", "--label", "tune"), "'tune'"),
        (("{file}", "--chat-user", "phrase"), "needs both --chat-user and --chat-assistant"),
        (("{file}", "--messages", "phrase"), "row 1: column 'phrase': found"),
        (("{file}", "--messages", "m", "--template", "x"), "leave one out"),
        (("{file}", "--messages", "m", "--label", "x"), "leave it out"),
        (("{file}", "--split", "dev=half"), "expected shares such as dev=0.2,test=0.2"),
        (("{file}", "--split", "dve=0.2"), "unknown split 'dve'; expected all, train, dev, test"),
        (("{file}", "--split", "dev=1.5"), "split: dev is 1.5, expected a number between 0 and 1"),
        (("{file}", "--model", "./nowhere"), "there is no folder"),
        (("{file}", "--model", "."), "there is no tokenizer in"),
        (("{file}", "--model", "org/name"), "is not on this disk"),
        (("{file}", "--max-length", "1"), "expected a whole number, 2 or more"),
        (("{file}", "--rows", "many"), "expected a whole number, 0 or more"),
        (("{file}", "--set", "a=b"), "it needs --space"),
        (("{file}", "--space", "x.yaml"), "leave FILE out"),
        (("--space", "x.yaml", "--label", "tone"), "leave --label out"),
        (("--space", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_mistakes_are_told(
    arguments: tuple[str, ...],
    part: str,
    tone_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [a.replace("{file}", str(tone_file)) for a in arguments]
    assert part in refused(capsys, *given)


def test_a_model_without_a_chat_template_is_told(
    questions: Path, tiny_bert: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "bare"
    words = tiny_models.tokenizer()
    words.chat_template = None
    words.save_pretrained(folder)
    sides = ("--chat-user", "prompt", "--chat-assistant", "response")
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert "no chat template" in refused(capsys, questions, *sides, "--model", folder)
    assert "encoder reads no conversations" in refused(
        capsys, questions, *sides, "--model", tiny_bert
    )

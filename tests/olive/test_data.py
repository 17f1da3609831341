"""Data configs become `data:`: the same rows, the same texts, and every other key is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import olive_configs
import pytest
from olive_configs import of_2024, of_today, rows_config, told, with_data, written

from search_spaces.problems import SpaceError
from tuner.olive.draft import Draft, Kind

WIKI = {"data_name": "wikitext", "subset": "wikitext-2-raw-v1", "split": "train"}


def lora(**settings: Any) -> dict[str, Any]:
    return {"lora": {"type": "LoRA", "train_data_config": "rows", **settings}}


def drafted(folder: Path, *configs: Any, passes: Any = None, **more: Any) -> Draft:
    config = of_today(passes or lora(), data_configs=list(configs), **more)
    return with_data(written(folder, config))


def test_a_config_of_2024_gives_its_file_its_template_and_its_share(tmp_path: Path) -> None:
    draft = with_data(written(tmp_path, of_2024()))
    assert draft.data == {
        "files": "./rows.json",
        "template": olive_configs.TONES,
        "label": "tone",
        "split": {"dev": 0.3, "test": 0},
    }


def test_a_data_set_of_the_hub_keeps_its_name_subset_and_split(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config({**WIKI, "revision": "main"}))
    assert draft.data == {
        "files": {"hub": "wikitext", **{k: WIKI[k] for k in ("subset", "split")}}
        | {"revision": "main"},
        "template": "{text}",
        "split": {"dev": 0, "test": 0},
    }


def test_every_row_is_trained_on_where_olive_trains_on_every_row(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config({"data_name": "json", "data_files": "a.json"}))
    assert draft.data is not None
    assert draft.data["split"] == {"dev": 0, "test": 0}


def test_a_share_that_is_none_is_named(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config(WIKI), passes=lora(eval_dataset_size=200))
    assert draft.data is not None
    assert "split" not in draft.data
    assert [w for w in told(draft, Kind.OMITTED) if w.endswith("eval_dataset_size")]


def test_without_a_split_the_hub_is_asked_for_olives_default(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config({"data_name": "wikitext"}))
    assert draft.data is not None
    assert draft.data["files"]["split"] == "validation"


@pytest.mark.parametrize(
    ("load", "files"),
    [
        ({"data_name": "csv", "data_files": ["a.csv", "sub/b.csv"]}, ["./a.csv", "./sub/b.csv"]),
        ({"data_name": "parquet", "data_files": "/data/rows.parquet"}, "/data/rows.parquet"),
        ({"data_name": "text", "data_files": "s3://bucket/rows.txt"}, "s3://bucket/rows.txt"),
        ({"data_name": "json", "data_dir": "d/", "data_files": "a.json"}, "./d/a.json"),
        (
            {"data_name": "json", "data_files": {"train": "t.json", "test": "x.json"}}
            | {"split": "test"},
            "./x.json",
        ),
        ({"data_name": "./rows.jsonl"}, "./rows.jsonl"),
    ],
)
def test_files_are_named_as_the_space_finds_them(tmp_path: Path, load: Any, files: Any) -> None:
    draft = drafted(tmp_path, rows_config(load))
    assert draft.data is not None
    assert draft.data["files"] == files


def test_text_columns_are_joined_by_spaces_as_olive_joins_them(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config(WIKI, {"text_cols": ["question", "answer"]}))
    assert draft.data is not None
    assert draft.data["template"] == "{question} {answer}"


def test_a_column_with_words_behind_it_is_no_label(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config(WIKI, {"text_template": "{q}\n{a}<|end|>"}))
    assert draft.data is not None
    assert "label" not in draft.data


def test_a_chat_template_becomes_the_models_own(tmp_path: Path) -> None:
    pre = {"chat_template": True, "message_col": "turns"}
    draft = drafted(tmp_path, rows_config(WIKI, pre))
    assert draft.data is not None
    assert draft.data["chat"] == {"messages": "turns"}
    assert not told(draft, Kind.OMITTED)


def test_a_chat_template_of_the_configs_own_is_named_as_left_out(tmp_path: Path) -> None:
    draft = drafted(tmp_path, rows_config(WIKI, {"chat_template": "{{ messages }}"}))
    assert "pre_process_data_config.chat_template" in " ".join(told(draft, Kind.OMITTED))


def test_rows_of_an_eval_data_config_are_held_out(tmp_path: Path) -> None:
    held = rows_config({**WIKI, "split": "test"}, name="held")
    draft = drafted(tmp_path, rows_config(WIKI), held, passes=lora(eval_data_config="held"))
    assert draft.data is not None
    files = draft.data["files"]
    assert (files["train"]["split"], files["dev"]["split"]) == ("train", "test")


def test_held_out_rows_that_read_otherwise_are_named_as_left_out(tmp_path: Path) -> None:
    held = rows_config(WIKI, {"text_cols": ["other"]}, name="held")
    draft = drafted(tmp_path, rows_config(WIKI), held, passes=lora(eval_data_config="held"))
    assert draft.data is not None
    assert draft.data["files"]["hub"] == "wikitext"
    assert any("made otherwise" in reason for reason in told(draft, Kind.OMITTED).values())


def test_rows_in_azure_wait_for_a_file_and_keep_their_template(tmp_path: Path) -> None:
    config = of_2024()
    load = config["data_configs"][0]["load_dataset_config"]["params"]
    load["data_files"] = {
        "type": "azureml_datastore",
        "config": {"datastore_name": "store", "relative_path": "train.json"},
    }
    draft = with_data(written(tmp_path, config))
    assert draft.data is not None
    assert draft.data["files"] == "./data.jsonl"
    assert draft.data["template"] == olive_configs.TONES
    [reason] = [r for r in told(draft, Kind.OMITTED).values() if "Azure" in r]
    assert "train.json" in reason
    assert "--data FILE" in reason


def test_a_function_that_loads_rows_waits_for_a_file(tmp_path: Path) -> None:
    own = rows_config({"type": "my_rows", "size": 3}, user_script="user_script.py")
    draft = drafted(tmp_path, own)
    assert draft.data is not None
    assert (draft.data["files"], draft.data["template"]) == ("./data.jsonl", "{text}")
    said = told(draft, Kind.OMITTED)
    assert {where.rpartition(".")[2] for where in said} >= {"type", "size", "user_script"}
    assert all("--data FILE" in reason for reason in said.values())


def test_an_encoder_reads_its_columns_then_its_label(tmp_path: Path) -> None:
    pre = {"input_cols": ["sentence1", "sentence2"], "label_col": "same"}
    passes = {"q": {"type": "OnnxStaticQuantization", "data_config": "rows"}}
    config = of_today(
        passes,
        model="org/bert-base",
        task="text-classification",
        data_configs=[rows_config({"data_name": "glue", "subset": "mrpc"}, pre)],
    )
    draft = with_data(written(tmp_path, config))
    assert draft.data is not None
    assert draft.data["template"] == "{sentence1}\n{sentence2}\n{same}"
    assert draft.data["label"] == "same"
    assert any("not a pair" in reason for reason in told(draft, Kind.OMITTED).values())


def test_gptq_without_rows_measures_on_what_olive_measures_on(tmp_path: Path) -> None:
    draft = with_data(written(tmp_path, of_today({"q": {"type": "Gptq", "bits": 4}})))
    assert draft.data is not None
    assert draft.data["files"]["hub"] == "Salesforce/wikitext"


def test_no_rows_are_asked_for_where_nothing_learns(tmp_path: Path) -> None:
    config = of_today(data_configs=[rows_config(WIKI)])
    draft = with_data(written(tmp_path, config))
    assert draft.data is None
    assert [r for r in told(draft, Kind.ASIDE).values() if "no pass reads it" in r]


def test_an_unknown_data_config_is_refused_with_its_line_and_the_nearest_name(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, of_today(lora(), data_configs=[rows_config(WIKI, name="rowz")]))
    with pytest.raises(SpaceError, match="did you mean 'rowz'") as caught:
        with_data(path)
    assert caught.value.problems[0].line is not None


def test_a_template_that_reaches_into_columns_is_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path, of_today(lora(), data_configs=[rows_config(WIKI, {"text_template": "{a:>9}"})])
    )
    with pytest.raises(SpaceError, match="text_template"):
        with_data(path)


def test_every_key_of_a_data_config_is_taken_over_or_named(tmp_path: Path) -> None:
    pre = {
        "text_template": "{text}",
        "strategy": "join",
        "max_seq_len": 128,
        "pad_to_max_len": False,
        "add_special_tokens": False,
        "joiner": "\n",
        "random_seed": 3,
    }
    load = {**WIKI, "streaming": True, "col_filters": {"a": 1}, "trust_remote_code": True}
    draft = drafted(tmp_path, rows_config(load, pre, dataloader_config={"batch_size": 4}))
    said = {o.where.rpartition(".")[2] for o in draft.omissions}
    taken = {"data_name", "subset", "split", "text_template", "strategy", "max_seq_len"}
    assert {*load, *pre, "batch_size"} - taken <= said


@pytest.mark.parametrize(
    ("load", "pre", "key"),
    [
        (WIKI, {"text_template": ["{text}"]}, "text_template"),
        (WIKI, {"text_template": "no column"}, "text_template"),
        (WIKI, {"text_cols": []}, "text_cols"),
        (WIKI, {"text_cols": {"a": 1}}, "text_cols"),
        (WIKI, {"text_cols": "a{b"}, "text_cols"),
        (WIKI, {"chat_template": True, "message_col": 3}, "message_col"),
        ({**WIKI, "split": ["train"]}, None, "split"),
        ({"data_name": 5}, None, "data_name"),
        ({"data_name": "json", "data_files": [1]}, None, "data_files"),
        ({"data_name": "json", "data_files": {"a": []}}, None, "data_files"),
    ],
)
def test_values_of_a_wrong_kind_are_refused_with_their_line(
    tmp_path: Path, load: Any, pre: Any, key: str
) -> None:
    path = written(tmp_path, of_today(lora(), data_configs=[rows_config(load, pre)]))
    with pytest.raises(SpaceError, match=key) as caught:
        with_data(path)
    assert all(problem.line for problem in caught.value.problems)

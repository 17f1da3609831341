"""Which rows a config's passes learn from, and how a row becomes text: the `data:` of the space.

Which keys of a data config mean what is here; where a data set is to be found is `data_sources`.
How long a text may be, and whether texts are strung together, belongs to the passes that read them
(`tuner.olive.passes`). Reads no data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.data import DataError, template_columns
from search_spaces.problems import hint, listed
from tuner.olive.config import OliveData, OlivePass, Setting, Settings
from tuner.olive.data_sources import PLACEHOLDER, files_of, refused
from tuner.olive.draft import Draft, Kind

TRAINING = ("train_data_config",)
CALIBRATION = ("data_config", "calibration_data_config")
HELD_OUT = ("eval_data_config",)
SHARE = "eval_dataset_size"
"""Keys of passes that this module answers for."""

PASSES_READ = frozenset(
    {
        "corpus_strategy",
        "max_length",
        "max_samples",
        "max_seq_len",
        "source_max_len",
        "strategy",
    }
)
"""Keys of a data config's pre-processing that are parameters of the passes that read the texts."""

_WIKITEXT = {"hub": "Salesforce/wikitext", "subset": "wikitext-2-raw-v1", "split": "train"}
_MEASURING = ("gptq", "gptqmodel", "gptqquantizer", "autoclip")
"""Passes that measure on that data set where their config names none."""

_TIMING = ("ortsessionparamstuning", "ortperftuning", "perftuning")

_COLUMN = re.compile(r"[^{}\[\].!:]+")
"""What can stand in a placeholder."""

_FUNCTION = "functions of a user's own that load data"
_GIVE = "give the rows as a file: --data FILE"
_BUILT_IN = frozenset(
    {
        "default_pre_process_data",
        "huggingface_pre_process",
        "pre_process",
        "skip_pre_process",
        "text_generation_huggingface_pre_process",
        "tokenizer_pre_process",
    }
)
_CHAT_KEYS = ("chat_template", "message_col")
_TEXT_KEYS = ("text_template", "text_cols", "input_cols", "label_col", "label_cols")

_ASIDE: Mapping[str, tuple[str, str]] = {
    name: (reason, group)
    for names, reason, group in (
        (
            "pad_to_max_len use_attention_mask padding padding_side truncation",
            "padding is masked out wherever it is, so that it changes no number",
            "padding",
        ),
        (
            "task model_name model_config_path kwargs shuffle processing_batch_size batched "
            "cache_key",
            "the space says it elsewhere, or it only says how rows are handed over",
            "handing over of rows",
        ),
        (
            "trust_remote_code",
            "code of a data set or a model is never run here",
            "code from elsewhere",
        ),
        ("dataset_type", "rows are texts of one part, as with corpus", "kinds of data sets"),
    )
    for name in names.split()
}
_OMITTED: Mapping[str, str] = {
    "add_special_tokens": "a text ends with the tokenizer's end mark here, whatever this says",
    "joiner": "texts that are strung together are parted by the tokenizer's end mark here",
    "drop_short_sequences": "short texts are kept here",
    "stride": "pieces of strung texts do not overlap here",
    "random_seed": "texts are taken in their order, not at random",
    "random_retries": "texts are taken in their order, not at random",
    "max_samples": "every row of the training split is trained on",
    "target_max_len": "a text has one length, max_length of the pass that reads it",
    "align_labels": "labels are compared by their names here, and have to be the model's",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the passes and the metrics of a config read."""

    rows: OliveData | None = None
    held_out: OliveData | None = None
    share: Setting | None = None


def describe(draft: Draft) -> None:
    """Fill in `draft.data`, and note what of the data configs has no place in a space.

    SpaceError where a pass names a data config that is not there.
    """
    asked = _asked(draft)
    if asked.rows is None:
        draft.data = _without_config(draft)
        _others(draft, asked)
        return
    data = _described(draft, asked.rows)
    if asked.held_out is not None and asked.held_out is not asked.rows:
        _hold_out(draft, asked.rows, asked.held_out, data)
    elif asked.share is not None:
        _divide(draft, asked.share, data)
    elif _trains(draft, asked.rows):
        _keep_all(draft, asked.rows, data)
    draft.data = data
    _others(draft, asked)


def data_settings(draft: Draft, keys: tuple[str, ...]) -> Iterator[tuple[OlivePass, Setting]]:
    """The settings of passes under these keys, in the order of the file."""
    for alternatives in draft.config.passes:
        for pass_ in alternatives:
            for key in keys:
                if key in pass_.settings and pass_.settings[key].value is not None:
                    yield pass_, pass_.settings[key]


# Which data configs are read


def _asked(draft: Draft) -> _Asked:
    training = [_named(draft, s) for _, s in data_settings(draft, TRAINING)]
    calibration = [_named(draft, s) for _, s in _calibrating(draft)]
    held_out = [_named(draft, s) for _, s in data_settings(draft, HELD_OUT)]
    shares = [s for _, s in data_settings(draft, (SHARE,))]
    found = [*training, *calibration, *_judged(draft)]
    share = next(iter(shares), None) if training else None
    return _Asked(next(iter(found), None), next(iter(held_out), None), share)


def _calibrating(draft: Draft) -> Iterator[tuple[OlivePass, Setting]]:
    """What calibrates passes; those that only time a model read no rows here."""
    for pass_, setting in data_settings(draft, CALIBRATION):
        if pass_.type.lower() not in _TIMING:
            yield pass_, setting


def _judged(draft: Draft) -> Iterator[OliveData]:
    """The data of metrics that judge answers; what is timed needs no rows."""
    evaluator = draft.config.evaluator
    for metric in draft.config.evaluators.get(str(evaluator.value), ()) if evaluator else ():
        if metric.type == "accuracy" and (found := draft.config.data.get(str(metric.data))):
            yield found


def _named(draft: Draft, setting: Setting) -> OliveData:
    known = draft.config.data
    if isinstance(setting.value, Mapping):
        name = str(setting.value.get("name", setting.where))
        return known[name] if name in known else _inline(name, setting)
    name = str(setting.value)
    if name not in known:
        there = f"there are {listed(known, 'and')}" if known else "there are none"
        raise refused(draft, setting, f"no data config has this name; {there}{hint(name, known)}")
    return known[name]


def _inline(name: str, setting: Setting) -> OliveData:
    """A data config that stands in the pass itself."""
    load, pre, post, loader = (
        _part(setting, f"{key}_config")
        for key in ("load_dataset", "pre_process_data", "post_process_data", "dataloader")
    )
    value = setting.value
    beside = {k: _at(setting, k, v) for k, v in value.items() if k not in ("name", "type")}
    beside = {k: v for k, v in beside.items() if not k.endswith("_config")}
    type_ = _at(setting, "type", value["type"]) if value.get("type") else None
    return OliveData(name, setting.where, setting.line, type_, load, pre, post, loader, beside)


def _part(setting: Setting, key: str) -> Settings:
    found = setting.value.get(key) or {}
    if not isinstance(found, Mapping):
        return {}
    flat = {k: v for k, v in found.items() if k != "params"} | dict(found.get("params") or {})
    return {k: _at(setting, f"{key}.{k}", v) for k, v in flat.items()}


def _at(setting: Setting, key: str, value: Any) -> Setting:
    return Setting(value, f"{setting.where}.{key}", setting.line)


def _without_config(draft: Draft) -> dict[str, Any] | None:
    types = [p.type.lower() for alternatives in draft.config.passes for p in alternatives]
    if any(type_ in _MEASURING for type_ in types):
        return {"files": dict(_WIKITEXT), "template": "{text}"}
    if draft.model_kind == "encoder":
        reason = f"the config names no rows, which a classifier's labels are read from; {_GIVE}"
        model = draft.config.model.type
        setting = Setting(None, "data_configs", model.line)
        draft.omit(setting, Kind.OMITTED, reason, "rows that the config does not name")
        return {"files": PLACEHOLDER, "template": "{text}\n{label}", "label": "label"}
    return None


def _others(draft: Draft, asked: _Asked) -> None:
    """Say which data configs the space does without: it has one set of rows."""
    used = {d.name for d in (asked.rows, asked.held_out) if d is not None}
    training = [s for _, s in data_settings(draft, TRAINING)]
    named = {_named(draft, s).name for s in (*training, *(s for _, s in _calibrating(draft)))}
    for data in draft.config.data.values():
        if data.name in used:
            continue
        setting = Setting(data.name, data.where, data.line)
        if data.name in named:
            reason = f"a space has one set of rows, and {asked.rows and asked.rows.name} is it"
            draft.omit(setting, Kind.OMITTED, reason, "more than one data set")
        else:
            reason = "no pass reads it, and times are measured on texts of a stated length"
            draft.omit(setting, Kind.ASIDE, reason, "data that nothing learns from")


# What a data config says


def _described(draft: Draft, data: OliveData) -> dict[str, Any]:
    function = _own_function(data)
    if function is not None:
        reason = f"a function of yours makes the rows; {_GIVE}"
        draft.omit(function, Kind.OMITTED, reason, _FUNCTION)
        draft.omit_all(_all_but(data, function), Kind.OMITTED, reason, _FUNCTION)
        label = draft.model_kind == "encoder" or draft.task == "text-classification"
        template = "{text}\n{label}" if label else "{text}"
        found = {"files": PLACEHOLDER, "template": template}
        return found | {"label": "label"} if label else found
    found = {"files": files_of(draft, data)} | _text(draft, data)
    _answer(draft, data)
    return found


def _own_function(data: OliveData) -> Setting | None:
    """What says that code of the user's loads or prepares the rows; None: Olive's own does."""
    for part, known in ((data.load, {"huggingface_dataset"}), (data.pre_process, _BUILT_IN)):
        type_ = part.get("type")
        if type_ is not None and str(type_.value).lower() not in known:
            return type_
    function = data.pre_process.get("text_formatting_func")
    if function is not None and function.value:
        return function
    if "data_name" not in data.load and "data_files" not in data.load:
        return data.type or Setting(data.name, data.where, data.line)
    return None


def _all_but(data: OliveData, function: Setting) -> Settings:
    parts = {**data.load, **data.pre_process, **data.post_process, **data.settings}
    return {s.where: s for s in parts.values() if s is not function}


def _text(draft: Draft, data: OliveData) -> dict[str, Any]:
    """The template, or the chat's columns, and the label."""
    pre = data.pre_process
    chat = pre.get("chat_template")
    if chat is not None and chat.value:
        if isinstance(chat.value, str):
            reason = "texts are rendered by the model's own chat template, not by this one"
            draft.omit(chat, Kind.OMITTED, reason, "chat templates of a config's own")
        column = pre.get("message_col")
        return {"chat": {"messages": _columns(draft, column, "messages")[0]}}
    if draft.model_kind == "encoder" or draft.task == "text-classification":
        return _classified(draft, data)
    template = _template(draft, pre)
    label = _last_column(template)
    return {"template": template} | ({"label": label} if label else {})


def _template(draft: Draft, pre: Settings) -> str:
    written = pre.get("text_template")
    if written is not None and written.value:
        _check(draft, written)
        return str(written.value)
    columns = pre.get("text_cols") or pre.get("input_cols")
    return " ".join(f"{{{name}}}" for name in _columns(draft, columns, "text"))


def _check(draft: Draft, written: Setting) -> None:
    if not isinstance(written.value, str):
        raise refused(draft, written, "expected text with {column} placeholders")
    try:
        columns = template_columns(written.value)
    except DataError as error:
        raise refused(draft, written, str(error)) from None
    if not columns:
        raise refused(draft, written, "no {column} is in it, expected one or more")


def _last_column(template: str) -> str | None:
    """The column that ends a text, so that what stands before it can be asked; None: none does.

    It makes answers measurable, and changes nothing of training, which reads the whole text.
    """
    columns = template_columns(template)
    last = columns[-1]
    alone = len(columns) < 2 or template.count(f"{{{last}}}") > 1
    return None if alone or not template.endswith(f"{{{last}}}") else last


def _classified(draft: Draft, data: OliveData) -> dict[str, Any]:
    """What an encoder reads: its columns, then the label."""
    pre = data.pre_process
    columns = pre.get("input_cols") or pre.get("text_cols")
    names = _columns(draft, columns, "text")
    if columns is not None and len(names) > 1:
        reason = f"{listed(names, 'and')} are one text of two lines here, not a pair of texts"
        draft.omit(columns, Kind.OMITTED, reason, "pairs of texts")
    label = pre.get("label_col") or pre.get("label_cols")
    name = _columns(draft, label, "label")[0]
    names = [column for column in names if column != name] or ["text"]
    lines = "\n".join(f"{{{column}}}" for column in (*names, name))
    return {"template": lines, "label": name}


def _columns(draft: Draft, setting: Setting | None, default: str) -> list[str]:
    """The columns that a setting names, each once; SpaceError where it names none."""
    if setting is None or setting.value is None:
        return [default]
    value = setting.value
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(name, str) and _COLUMN.fullmatch(name) for name in found):
        raise refused(draft, setting, "expected the name of a column, or a list of names")
    return list(dict.fromkeys(found))


def _answer(draft: Draft, data: OliveData) -> None:
    """Say of every other key what becomes of it."""
    known = {"type", "text_formatting_func", *_CHAT_KEYS, *_TEXT_KEYS, *PASSES_READ}
    if "max_samples" in data.pre_process and _trains(draft, data):
        known.remove("max_samples")
    for key, setting in data.pre_process.items():
        if key in known or setting.value is None:
            continue
        aside = _ASIDE.get(key)
        if aside is not None:
            draft.omit(setting, Kind.ASIDE, *aside)
        else:
            reason = _OMITTED.get(key, "nothing here reads this key")
            draft.omit(setting, Kind.OMITTED, reason, "how texts are prepared")
    _answer_rest(draft, data)


def _trains(draft: Draft, data: OliveData) -> bool:
    """Whether a pass is trained on these rows, and not only calibrated."""
    return any(_named(draft, s) is data for _, s in data_settings(draft, TRAINING))


def _answer_rest(draft: Draft, data: OliveData) -> None:
    for setting in data.post_process.values():
        reason = "answers are read as the metric's own evaluator does"
        draft.omit(setting, Kind.ASIDE, reason, "reading of answers")
    for setting in data.dataloader.values():
        reason = "a pass or a metric says itself how many texts go together"
        draft.omit(setting, Kind.ASIDE, reason, "handing over of rows")
    for setting in data.settings.values():
        reason = "no function of it loads the rows, and no code of a config is run"
        draft.omit(setting, Kind.ASIDE, reason, "code from elsewhere")


# What is held out


def _hold_out(draft: Draft, rows: OliveData, held: OliveData, data: dict[str, Any]) -> None:
    """The rows of `eval_data_config` are those that the search is scored on."""
    if _own_function(rows) is not None or _own_function(held) is not None:
        return
    if _text(draft, held) != {k: data[k] for k in data if k in ("template", "chat", "label")}:
        setting = Setting(held.name, held.where, held.line)
        reason = "its texts are made otherwise than those for training, and a space has one way"
        draft.omit(setting, Kind.OMITTED, reason, "more than one data set")
        return
    data["files"] = {"train": data["files"], "dev": files_of(draft, held)}


def _divide(draft: Draft, share: Setting, data: dict[str, Any]) -> None:
    """Hold out the share that Olive does, and train on the rest."""
    value = share.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        reason = "only a share of the rows between 0 and 1 can be held out; 40 % are"
        draft.omit(share, Kind.OMITTED, reason, "what is held out")
        return
    data["split"] = {"dev": value, "test": 0}


def _keep_all(draft: Draft, rows: OliveData, data: dict[str, Any]) -> None:
    """Train on every row, as Olive does, unless rows of them are asked to judge by."""
    judged = next(_judged(draft), None)
    if judged is None:
        data["split"] = {"dev": 0, "test": 0}
        return
    setting = Setting(rows.name, rows.where, rows.line)
    reason = "Olive trains on all of its rows; here 40 % are held out, to judge by"
    draft.omit(setting, Kind.OMITTED, reason, "what is held out")

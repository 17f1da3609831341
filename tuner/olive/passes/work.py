"""What the translators of passes share: the draft, the settings still to be answered, the chain.

A `Taker` holds the settings of one pass and answers each: it becomes a value of a step, or is
omitted with a reason. What nobody answered is omitted at the end, so that nothing is lost in
silence. Knows nothing of any pass in particular.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.problems import Place, Problems, hint
from search_spaces.vocabulary import PassSpec
from tuner.olive.config import OlivePass, Setting
from tuner.olive.draft import Draft, Kind, StepDraft
from tuner.olive.passes.names import ANY_KEY, FILES, OF_ALL, PASSES, SCRIPT
from tuner.olive.passes.values import Unfit, fitted, wrong

Convert = Callable[[Any], Any]
SEARCHED = "SEARCHABLE_VALUES"
DEFAULTED = "DEFAULT_VALUE"


@dataclass(slots=True)
class Work:
    """A translation: the draft, our passes, what is wrong, and what is known of the chain so far.

    `types`: the types of all passes of the config, in order, in Olive's own spelling.
    `position`: of the pass that is being translated. `taken`: where the settings stood that became
    something. `rounding`: what an earlier pass of Olive's leaves to the builder to do.
    `alternatives`: the pass is one of several to choose from.
    """

    draft: Draft
    specs: Mapping[str, PassSpec]
    types: tuple[str, ...]
    problems: Problems = field(default_factory=Problems)
    position: int = 0
    taken: set[str] = field(default_factory=set)
    rounding: dict[str, Any] = field(default_factory=dict)
    alternatives: bool = False

    @property
    def later(self) -> tuple[str, ...]:
        """The types of the passes behind this one."""
        return self.types[self.position + 1 :]

    @property
    def earlier(self) -> tuple[str, ...]:
        """The types of the passes before this one."""
        return self.types[: self.position]

    @property
    def is_causal(self) -> bool:
        """Whether the model is a language model that generates, as far as that can be told."""
        if self.draft.model_kind is not None:
            return self.draft.model_kind == "causal"
        return bool({"ModelBuilder", "GenAIModelExporter"} & set(self.types))

    @property
    def is_doomed(self) -> bool:
        """Whether something was said already that leaves no result."""
        return any(omission.kind is Kind.CANNOT for omission in self.draft.omissions)

    def form(self) -> str | None:
        """The format of the model here; None: as it came in, or of an alternative."""
        gives = None
        for step in self.draft.pipeline:
            if isinstance(step, StepDraft) and step.pass_ in self.specs:
                gives = self.specs[step.pass_].gives or gives
        return gives

    def add(self, pass_: str, origin: str) -> StepDraft:
        """A further step."""
        step = StepDraft(pass_, origin=origin)
        self.draft.pipeline.append(step)
        return step

    def wrong(self, line: int | None, message: str) -> None:
        """Note what makes the config unusable."""
        self.problems.add(Place(str(self.draft.config.path), line), message)

    def note(self, found: OlivePass, kind: Kind, reason: str, group: str) -> None:
        """Say what of a pass as a whole has no place here."""
        self.draft.omit(of_type(found), kind, reason, group)


def of_type(found: OlivePass) -> Setting:
    """A pass's type, as a setting."""
    return Setting(found.type, f"{found.where}.type", found.line)


def is_searched(draft: Draft, found: OlivePass) -> bool:
    """Whether a config's search is one over a pass's parameters, those not named among them."""
    search = draft.config.search
    if search is None:
        return False
    told = search.settings.get("include_pass_params")
    barred = found.settings.get("disable_search")
    return (told is None or told.value is not False) and (barred is None or not barred.value)


class Taker:
    """The settings of one pass. Each is answered by what is called with its key."""

    def __init__(
        self, work: Work, found: OlivePass, type_: str, known: frozenset[str] | None = None
    ) -> None:
        self.work = work
        self.found = found
        self.type = type_
        self._left = dict(found.settings)
        self._refuse_unknown(PASSES[type_] | OF_ALL if known is None else known)
        for key in [key for key, setting in self._left.items() if setting.value is None]:
            self._keep(key)  # the same as a key that is not there
        self._engines()

    def _engines(self) -> None:
        """Answer what is not the pass's own: where it runs, what is kept of it, what judges it."""
        self.take("disable_search")  # as `is_searched` reads it
        self.aside("host", reason="it runs on this machine", group="where passes run")
        self.aside(
            "evaluator",
            reason="what comes out at the end is measured, not each pass's result",
            group="measuring between passes",
        )
        self.aside(
            *FILES.split(),
            *sorted(OF_ALL - {"host", "evaluator", "disable_search"}),
            reason="files and caches are laid out by tune itself",
            group="files and caches",
        )

    def inside(self, setting: Setting, known: frozenset[str]) -> Taker | None:
        """The settings in the object that a setting is; None, with a problem, where it is none."""
        if not isinstance(setting.value, Mapping):
            self.work.wrong(setting.line, f"{setting.where}: {wrong(setting.value, 'an object')}")
            return None
        inner = {
            str(key): Setting(value, f"{setting.where}.{key}", setting.line)
            for key, value in setting.value.items()
        }
        name = setting.where.rpartition(".")[2]
        held = OlivePass(name, self.found.type, setting.where, setting.line, inner)
        return Taker(self.work, held, name, known)

    def _refuse_unknown(self, known: frozenset[str]) -> None:
        if self.type in ANY_KEY:
            return
        for key, setting in self.found.settings.items():
            if key not in known:
                message = f"{setting.where}: {self.type} has no key {key!r}{hint(key, known)}"
                self.work.wrong(setting.line, message)
                del self._left[key]

    # answering

    def _keep(self, key: str) -> Setting | None:
        setting = self._left.pop(key, None)
        if setting is not None:
            self.work.taken.add(setting.where)
        return setting

    def take(self, *keys: str) -> Setting | None:
        """The setting under the first of these keys that is there, for the caller to use."""
        found = None
        for key in keys:
            if key not in self._left:
                continue
            if found is None:
                found = self._keep(key)
            else:
                self.omit(key, reason="the same is said by another key", group="said twice")
        return None if found is None or found.value == DEFAULTED else found

    def aside(self, *keys: str, reason: str, group: str) -> None:
        """Say of those that are there that they change nothing here."""
        self._say(keys, Kind.ASIDE, reason, group)

    def omit(self, *keys: str, reason: str, group: str) -> None:
        """Say of those that are there that the space does without them."""
        self._say(keys, Kind.OMITTED, reason, group)

    def unless(self, default: Any, *keys: str, reason: str, group: str) -> None:
        """The same, but of those that say no more than Olive's default, that nothing changes."""
        for key in keys:
            if key in self._left and self._left[key].value in (default, DEFAULTED):
                self._say((key,), Kind.ASIDE, "this is what is done here too", group)
        self._say(keys, Kind.OMITTED, reason, group)

    def rest(self, kind: Kind, reason: str, group: str) -> None:
        """Say the same of all that is left."""
        self._say(tuple(self._left), kind, reason, group)

    def _say(self, keys: Iterable[str], kind: Kind, reason: str, group: str) -> None:
        for key in keys:
            setting = self._left.pop(key, None)
            if setting is not None:
                self.work.draft.omit(setting, kind, reason, group)

    def note(self, setting: Setting, kind: Kind, reason: str, group: str) -> None:
        """Say more of a setting that was taken."""
        self.work.taken.discard(setting.where)
        self.work.draft.omit(setting, kind, reason, group)

    def missing(self, key: str, reason: str, group: str) -> None:
        """Say what the lack of a key means to Olive, and not here."""
        setting = Setting("(Olive's default)", f"{self.found.where}.{key}", self.found.line)
        self.work.draft.omit(setting, Kind.OMITTED, reason, group)

    # reading

    def peek(self, key: str, default: Any = None) -> Any:
        """A value that somebody else answers, or the default."""
        setting = self._left.get(key)
        return default if setting is None or setting.value == DEFAULTED else setting.value

    def flag(self, *keys: str, default: bool = False) -> bool:
        """A truth value; the default where there is none, or where it is none (a problem)."""
        setting = self.take(*keys)
        if setting is None:
            return default
        if isinstance(setting.value, bool):
            return setting.value
        self.work.wrong(setting.line, f"{setting.where}: {wrong(setting.value, 'true or false')}")
        return default

    @property
    def is_searched(self) -> bool:
        """Whether Olive searches its own values of keys that are not there."""
        return is_searched(self.work.draft, self.found)

    # becoming a value of a step

    def put(
        self,
        step: StepDraft,
        parameter: str,
        *keys: str,
        default: Any = None,
        convert: Convert | None = None,
        search: tuple[Any, ...] = (),
    ) -> None:
        """Make a setting the value of a parameter of a step.

        `default`: what Olive takes where there is no such key, in our terms; None: what we take.
        `convert`: from Olive's value to ours, may raise `Unfit`. `search`: what Olive searches by
        default, in its own terms, where the key says so.
        """
        setting = self.take(*keys)
        if setting is None and search and self.is_searched:
            where = f"{self.found.where}.{keys[0]}"
            self.place(step, parameter, Setting(list(search), where, self.found.line), convert)
            step.comments.setdefault(parameter, "what Olive searches")
            return
        if setting is None:
            self.usual(step, parameter, default)
            return
        if setting.value == SEARCHED:
            if not search:
                self.note(setting, Kind.OMITTED, "Olive searches no values of it", "no values")
                self.usual(step, parameter, default)
                return
            setting = Setting(list(search), setting.where, setting.line)
        self.place(step, parameter, setting, convert)

    def usual(self, step: StepDraft, parameter: str, default: Any) -> None:
        """Olive's default, where it is not ours."""
        if default is not None and default != self.ours(step, parameter):
            step.parameters[parameter] = default
            step.comments.setdefault(parameter, "Olive's default")

    def ours(self, step: StepDraft, parameter: str) -> Any:
        """The default of our pass; lists as lists."""
        value = self.work.specs[step.pass_].parameter(parameter).default
        return list(value) if isinstance(value, tuple) else value

    def place(
        self, step: StepDraft, parameter: str, setting: Setting, convert: Convert | None = None
    ) -> None:
        """Make a setting that was taken the value of a parameter, or say why it cannot be."""
        spec = self.work.specs[step.pass_].parameter(parameter)
        value = setting.value
        listed = value["support"] if _is_support(value) else value
        if isinstance(listed, list) and spec.type is not list:
            self._choices(step, parameter, setting, listed, convert)
            return
        try:
            given = convert(value) if convert is not None else value
            step.parameters[parameter] = fitted(spec, given)
        except Unfit as unfit:
            self._unfit(step, parameter, setting, unfit)

    def _unfit(self, step: StepDraft, parameter: str, setting: Setting, unfit: Unfit) -> None:
        if unfit.is_wrong:
            self.work.wrong(setting.line, f"{setting.where}: {unfit}")
            return
        self.note(setting, Kind.OMITTED, str(unfit), unfit.group)
        if unfit.nearest is not None:
            step.parameters[parameter] = unfit.nearest
            step.comments[parameter] = f"in place of {setting.value!r}"

    def _choices(
        self,
        step: StepDraft,
        parameter: str,
        setting: Setting,
        values: list[Any],
        convert: Convert | None,
    ) -> None:
        """Several values where one is expected are those that Olive searches."""
        spec = self.work.specs[step.pass_].parameter(parameter)
        found: list[Any] = []
        for value in values:
            try:
                one = fitted(spec, convert(value) if convert is not None else value)
            except Unfit as unfit:
                if unfit.is_wrong:
                    self.work.wrong(setting.line, f"{setting.where}: {unfit}")
                else:
                    self.note(setting, Kind.OMITTED, str(unfit), unfit.group)
                continue
            if one not in found:
                found.append(one)
        if found:
            step.parameters[parameter] = {"choices": found} if len(found) > 1 else found[0]

    def finish(self) -> None:
        """Say of all that nobody answered that it has no counterpart."""
        self.omit(
            *SCRIPT.split(),
            reason="code of a config is not run; what it defines is not there",
            group="code of a user's own",
        )
        self.rest(Kind.OMITTED, "no pass here has it", "no counterpart")


def _is_support(value: Any) -> bool:
    """Whether this is a search parameter as Olive writes it into a JSON file."""
    return isinstance(value, Mapping) and isinstance(value.get("support"), list)

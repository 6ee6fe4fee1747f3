"""From a name and options to a fuser: `resolve("brovey", {"weights": "0.1,0.4,0.5"})`.

A name is a classical method, a method that needs no trained network (`regression`, `random+refit`), or
`network.tag`, trained weights, with adapters behind: `fusionnet.wv3+refit`. In place of `network.tag` the path of a
weights file may stand: `./mine.safetensors+refit`. Weights that `panloom adapt` made have their adapter in them.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Generator, Tensor

from panloom import adapt, classical, networks, weights
from panloom.errors import MethodError, WeightsError, unknown
from panloom.networks import Network
from panloom.pair import Fuser, Pair, SceneLike
from panloom.run._default import DEFAULT
from panloom.types import Traits
from panloom.weights import Card

__all__ = ["DEFAULT", "Name", "Option", "card_of", "methods", "options_of", "parse", "resolve", "trained_ratios"]


@dataclass(frozen=True)
class Option:
    """One keyword of a method's constructor.

    Attributes:
        name: as in `--set name=value`.
        kind: its type.
        default: its default value.
        choices: allowed words; empty where any value of the type is.
        help: first sentence of its description.
    """

    name: str
    kind: object
    default: object
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Name:
    """A method's name, understood.

    Attributes:
        method: makes a fuser from options alone; None for trained weights.
        weights: `network.tag`, or the path of a weights file; empty for other methods.
        adapters: classes of the adapters behind the weights, in their order.
        card: of the weights; None for other methods.
    """

    method: Callable[..., Fuser] | None = None
    weights: str = ""
    adapters: tuple[Callable[..., Fuser], ...] = ()
    card: Card | None = None

    @property
    def makers(self) -> tuple[Callable[..., Fuser], ...]:
        """What options go to."""
        return self.adapters if self.method is None else (self.method,)


def methods() -> list[str]:
    """Every complete method name that `resolve` knows: classical, without a trained network, and with one.

    Adapters go behind the last of these: any `network.tag` may be followed by `+` and an adapter's name.
    """
    return [*classical.names(), *adapt.free(), *weights.names()]


def parse(name: str) -> Name:
    """A method by name; weights are looked up, not read.

    Raises:
        MethodError: unknown method, network, weights or adapter.
        WeightsError: the weights' card is missing or wrong.
    """
    free = adapt.free()
    if name in free:
        return Name(free[name])
    if name in classical.names():
        return Name(classical.get(name))
    head, *words = _pieces(name)
    if weights.is_file(head) or weights.is_name(head):
        card, adapters = weights.card(head), tuple(map(adapt.get, words))
        if card.adapted is not None and adapters:
            behind = "+".join([card.parent, *words])
            raise MethodError(f"{head} is adapted already and takes no adapter; its parent does: {behind}")
        return Name(weights=head, adapters=adapters, card=card)
    raise MethodError(_unknown(name, head))


def _pieces(name: str) -> list[str]:
    """The part before the first `+`, and the adapters; a path may hold a `+` of its own."""
    folder, dot, rest = name.rpartition(".safetensors")
    first, *words = rest.split("+")
    return [folder + dot + first, *words]


def _unknown(name: str, head: str) -> str:
    if head in networks.names():
        tags = weights.tags_of(head)
        known = f"name its weights: {', '.join(tags)}" if tags else "no weights of it are here"
        return f"{head} is a network without weights; {known}; see: panloom weights list"
    if head != name and head in classical.names():
        return f"{head} takes no adapter: {name[len(head) :]} goes behind trained weights, as in universal.open+refit"
    return unknown("method", name, methods())


def resolve(name: str, options: Mapping[str, object] | None = None) -> Fuser:
    """A fuser by name, not yet prepared.

    Args:
        name: a method name, see `methods`.
        options: keyword arguments of its constructor, with adapters of theirs; words (from a command line) are turned
            into their types.

    Raises:
        MethodError: unknown name or option, or a value of the wrong type.
        WeightsError: the weights are missing, damaged, or of another network.
    """
    found = parse(name)
    known = {option.name: option for option in _options_of(found)}
    values: dict[str, object] = {}
    for key, value in (options or {}).items():
        if key not in known:
            raise MethodError(unknown(f"option of {name}", key, known) if known else f"{name} has no options")
        values[key] = _typed(name, known[key], value)
    if found.method is not None:
        return found.method(**values)
    card = found.card
    assert card is not None, "what is no method of its own has weights"
    stored = weights.read(found.weights, card)
    if card.adapted is not None:
        return _applied(card, card.adapted, stored)
    return _adapted(name, stored.network, [_bound(cls, values) for cls in found.adapters])


def _applied(card: weights.Card, made: weights.Adapted, stored: weights.Stored) -> Fuser:
    """Adapted weights, for any scene like theirs.

    Raises:
        WeightsError: the card names an adapter or an option that there is not.
    """
    try:
        cls = adapt.get(made.adapter)
        known = {option.name: option for option in _options(cls)}
        options = {key: _typed(made.adapter, known[key], value) for key, value in made.options.items()}
    except (MethodError, KeyError) as error:
        raise WeightsError(f"the card of {card.name} cannot be followed, adapted by {made.adapter}: {error}") from error
    fuser = cls(stored.network, **options)
    assert card.ratios is not None, "no card of adapted weights is read without"
    assert card.band_count is not None, "likewise"
    if not isinstance(fuser, adapt.Keeper):
        raise WeightsError(f"the card of {card.name} cannot be followed: {made.adapter} keeps nothing for other scenes")
    return adapt.Applied(fuser, stored.learned, card.ratios[0], card.band_count)


def _bound(cls: Callable[..., Fuser], values: Mapping[str, object]) -> Callable[[Network], Fuser]:
    """An adapter with those of the options that it has."""
    own = {option.name for option in _options(cls)}
    return partial(cls, **{key: value for key, value in values.items() if key in own})


def _adapted(name: str, network: Network, adapters: list[Callable[[Network], Fuser]]) -> Fuser:
    if not adapters:
        return network
    fuser = adapters[0](network)
    for adapter in adapters[1:]:
        fuser = _Chained(name, fuser, adapter, adapter(network).traits)
    return fuser


@dataclass(frozen=True)
class _Chained:
    """An adapter behind another: it fits what that one made of the network."""

    name: str
    before: Fuser
    adapter: Callable[[Network], Fuser]
    traits: Traits

    def prepare(self, scene: SceneLike, rng: Generator) -> Fuser:
        """The last adapter's fuser.

        Raises:
            MethodError: what comes before is no network when it is ready, so that nothing can be fitted to it.
        """
        ready = self.before.prepare(scene, rng)
        if not isinstance(ready, Network):
            raise MethodError(f"{self.name}: nothing can follow the first adapter, which leaves no network to adapt")
        return self.adapter(ready).prepare(scene, rng)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        return self.before(pair)


def card_of(name: str) -> weights.Card | None:
    """The card of a method's weights; None for a method without."""
    return parse(name).card


def trained_ratios(name: str) -> tuple[int, ...] | None:
    """Ratios that a method's weights were trained for; None: any, or an adapter fits them to the scene."""
    head, *adapters = _pieces(name)
    trained = weights.is_name(head) or weights.is_file(head)
    return weights.card(head).ratios if trained and not adapters else None


def options_of(name: str) -> list[Option]:
    """The options of a method, from its constructor's signature; what `prepare` fills in is left out.

    Raises:
        MethodError: unknown method, network, weights or adapter.
        WeightsError: the weights' card is missing or wrong.
    """
    return _options_of(parse(name))


def _options_of(name: Name) -> list[Option]:
    found = [option for make in name.makers for option in _options(make)]
    return list({option.name: option for option in found}.values())


def _options(cls: Callable[..., Fuser]) -> list[Option]:
    hints = typing.get_type_hints(cls)
    found: list[Option] = []
    fields = getattr(cls, "__dataclass_fields__", {})
    made = {key for key, field in fields.items() if not field.metadata.get("option", True)}
    for key, parameter in inspect.signature(cls).parameters.items():
        kind = hints.get(key)
        if key in made or kind is Network:  # an adapter is given its network
            continue
        choices = tuple(map(str, typing.get_args(kind))) if typing.get_origin(kind) is typing.Literal else ()
        found.append(Option(key, kind, parameter.default, choices, _described(cls, key)))
    return found


def _described(cls: Callable[..., Fuser], key: str) -> str:
    """What a class says of an option, or the class that it has the option from."""
    for owner in inspect.getmro(cls) if isinstance(cls, type) else (cls,):
        found = re.search(rf"^( *){key}: (.*(?:\n\1 +.*)*)", inspect.cleandoc(owner.__doc__ or ""), re.MULTILINE)
        if found:
            return " ".join(found[2].split())
    return ""


def _typed(method: str, option: Option, value: object) -> object:
    """A word from the command line as the option's type; other values are checked."""
    if option.choices:
        if value not in option.choices:
            raise MethodError(unknown(f"value of {method}'s {option.name}", str(value), option.choices))
        return value
    kinds = typing.get_args(option.kind) if _is_union(option.kind) else (option.kind,)
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if type(None) in kinds:
            return None
        raise MethodError(f"{method}'s {option.name} cannot be none")
    kind = next(k for k in kinds if k is not type(None))
    try:
        return _parse(kind, value)
    except (TypeError, ValueError) as error:
        raise MethodError(f"{method}'s {option.name} must be {_named(kind)}; given: {value!r}") from error


def _is_union(kind: object) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _parse(kind: object, value: object) -> object:
    if typing.get_origin(kind) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_parse(typing.get_args(kind)[0], item) for item in typing.cast("typing.Iterable[object]", items))
    if kind is bool:
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        return words[str(value).lower()] if str(value).lower() in words else _refuse()
    if kind is int or kind is float or kind is str:
        parsed = typing.cast("typing.Callable[[object], object]", kind)(value)
        return _refuse() if isinstance(parsed, float) and not math.isfinite(parsed) else parsed
    return _refuse()


def _refuse() -> object:
    raise ValueError


def _named(kind: object) -> str:
    if typing.get_origin(kind) is tuple:
        return "numbers separated by commas"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(typing.cast("type", kind), "a word")

"""Slugs: two random words that name a project (`crimson-elephant`), and the names that no project may have."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection

from gateway.errors import Invalid

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
"""One label of a host name, in lower case."""
MAX_SLUG = 54
"""A label has at most 63 characters, and the label of a deployment adds a hyphen and 8 digits to the slug."""
# Browsers and mail programs trust some of these names (wpad, autoconfig); others look like the platform's own.
_RESERVED = """
    abuse account accounts admin api app auth autoconfig autodiscover billing cdn dashboard dns docs ftp git help hooks
    imap internal isatap localhost login logout mail ns1 ns2 oauth pop postmaster register root security signin signup
    smtp sso static status support webmail wpad www
"""
_REFUSED = (
    (re.compile(".*-git-"), "contain '-git-', as the addresses of branches do"),
    (re.compile(r".*-pr-[0-9]+\Z"), "end in '-pr-' and digits, as the addresses of pull requests do"),
    (re.compile(r".*-[0-9a-f]{8}\Z"), "end in a hyphen and 8 hexadecimal digits, as the addresses of deployments do"),
    (re.compile("xn--"), "begin with 'xn--', which marks names in other scripts"),
)
_ADJECTIVES = """
    able agile airy amber ample apt azure balmy bold bonny brave breezy bright brisk bronze bubbly
    calm candid carefree cheery chief civic classic clean clear clever coastal cobalt cool copper coral cosmic
    cosy crimson crisp curious dainty dapper daring dawn deft dewy dreamy eager early earnest easy
    elegant emerald epic even fabled fair famous fancy festive fine fleet fluffy fond fresh friendly
    frosty gallant gentle genial giant gilded glad gleaming glossy golden grand grateful green handy happy
    hardy hazel hearty honest humble indigo ivory jade jaunty jolly jovial joyful keen kind lasting
    lavender leafy light lilac lively loyal lucid lucky lunar magenta maple marble mellow merry mighty
    mindful minty misty modern modest mossy neat nimble noble olive opal open orange patient peachy
    pearly peppy placid playful pleasant plucky polar polite proud pure quick quiet radiant rapid ready
    rosy royal ruby rustic sage sandy sapphire scarlet serene sharp shiny silent silky silver sincere
    smart smooth snowy soft solar sound spry stable stellar steady still sturdy sunny superb sure
    tidy topaz tranquil trusty tulip upbeat valiant velvet vibrant vivid warm wise witty zesty
"""
_ANIMALS = """
    addax albatross alpaca anchovy ant antelope avocet axolotl badger barracuda bear bee beetle bison bobcat
    bonobo bullfinch bumblebee butterfly buzzard camel capybara caracal cardinal caribou cassowary cat caterpillar
    chameleon cheetah chickadee chinchilla chipmunk cicada civet clam cod condor corgi cormorant coyote
    crab crane cricket crow cuckoo curlew deer dingo dolphin donkey dormouse dove dragonfly duck dugong eagle
    eel egret eland elephant elk emu ermine falcon fennec ferret finch firefly flamingo fox frog gannet
    gazelle gecko gerbil gibbon giraffe gnu goat goldfinch goose gopher grouse gull guppy hamster hare hawk
    hedgehog heron herring hippo hornbill horse hummingbird husky ibex ibis iguana impala jackdaw jaguar jay jellyfish
    kangaroo kestrel kingfisher kite kiwi koala koi kookaburra kudu ladybird lark lemming lemur leopard lion lizard
    llama lobster loon lynx macaw magpie mallard manatee mandrill manta marlin marmot marten meerkat mink mole
    mongoose moose moth mouse mule mussel narwhal newt nightingale ocelot octopus okapi orca oriole oryx osprey
    ostrich otter owl ox oyster panda pangolin panther parrot partridge peacock pelican penguin perch petrel pheasant
    pigeon pika plover polecat pony porcupine porpoise possum prawn puffin puma quail quokka rabbit raccoon raven
    reindeer robin rook salmon sandpiper sardine seahorse seal serval shrew shrimp skylark sloth snail sparrow
    squid squirrel starfish starling stoat stork sturgeon swallow swan swift swordfish tapir tern tiger toad
    tortoise toucan trout tuna turtle urchin vicuna vole wallaby walrus warbler weasel whale wolf wolverine wombat
    wren yak zebra
"""
ADJECTIVES = tuple(_ADJECTIVES.split())
ANIMALS = tuple(_ANIMALS.split())
RESERVED = frozenset(_RESERVED.split())


def random_slug() -> str:
    """One of some 45,000 names. It may be taken: then the store tries another."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"


def random_long_slug() -> str:
    """For when nearly all short names are taken. Never equal to a deployment's label, which ends in 8 hex digits."""
    return f"{random_slug()}-{secrets.randbelow(9000) + 1000}"


def check_slug(slug: str, api_labels: Collection[str]) -> None:
    """Raises Invalid for a slug that is no label, means addresses of other projects, or looks like the platform's.

    `api_labels`: the slugs whose addresses are those of the API.
    """
    if not LABEL.match(slug) or len(slug) > MAX_SLUG:
        raise _wrong(
            f"A slug has at most {MAX_SLUG} lower-case letters, digits and hyphens, and no hyphen at its ends, as in"
            " crimson-elephant."
        )
    for pattern, what in _REFUSED:
        if pattern.match(slug):
            raise _wrong(f"A slug must not {what}. Choose another one than '{slug}'.")
    if slug in RESERVED:
        raise _wrong(f"The slug '{slug}' is reserved, as its address would pass for a part of the platform.")
    if slug in api_labels:
        raise _wrong(f"The slug '{slug}' is taken: its address is that of the API.")


def _wrong(sentence: str) -> Invalid:
    return Invalid(sentence, {"slug": sentence})

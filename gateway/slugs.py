"""Two random words that name a project: `crimson-elephant`. The words are ours, short, and inoffensive."""

from __future__ import annotations

import secrets

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


def random_slug() -> str:
    """One of some 45,000 names. Not unique by itself: the store tries again when a name is taken."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"


def random_long_slug() -> str:
    """For when nearly all short names are taken. Never mistaken for a deployment's own address (8 hex digits)."""
    return f"{random_slug()}-{secrets.randbelow(9000) + 1000}"

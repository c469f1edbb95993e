"""The words of which tasks are made: things, animals, food, places, names, cities, verbs.

No word stands in two of the lists of nouns. `draws.py` says which are for the test alone.
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, which white space parts."""
    return tuple(text.split())


OBJECTS = words(
    """
    anchor apron arrow axe backpack badge balloon bandage banner barrel basket battery bell belt
    bench bicycle blanket blender boat bolt bookcase boot bottle bowl bracelet brick broom brush
    bucket bulb button cabinet calculator calendar camera candle canoe carpet chain chair chest
    chisel clarinet cloak clock coat comb compass cradle crate crayon crown cup curtain cushion
    desk diary dish doll drawer dress drill drum easel engine envelope fan feather fiddle flag
    flute folder fork fountain frame freezer funnel gate glove goblet guitar hammer hammock
    handbag handle harp hat heater helmet hinge hook jacket jar jug kayak kettle keyboard kite
    knife ladder ladle lamp lantern laptop locket magnet mallet map marble mask mattress medal
    microscope mirror mop motor mug nail napkin necklace needle notebook oar oven paddle pan
    parcel pedal pencil phone piano pillow pipe pitcher plate pot printer projector pump puppet
    purse puzzle quilt radio raft rake razor ribbon ring robe rocket rope rug ruler saddle
    sandal saw scale scarf scooter screen shawl shelf shield shoe shovel shirt sieve skateboard
    skirt sled slipper sofa spade speaker spoon stapler statue stool stove suitcase sweater
    sword tablet teapot telescope tent thimble ticket tile toaster towel tractor tray tripod
    trombone trumpet tub tunic turbine umbrella vase vest violin wagon wallet wheel whistle wig
    wrench zipper
    """
)
"""What a person can own, each with a regular `a` or `an` before it."""

ANIMALS = words(
    """
    ant badger bat bear beaver bee beetle bison buffalo butterfly camel cat cheetah chicken
    cobra cow crab crane cricket crocodile crow deer dog dolphin donkey dragonfly duck eagle
    elephant falcon ferret finch fox frog gazelle giraffe goat goose gorilla hamster hawk
    hedgehog heron hippo horse hyena jackal jaguar kangaroo koala lemur leopard lion lizard
    llama lobster lynx magpie mole monkey moose moth mouse octopus ostrich otter owl ox panda
    panther parrot pelican penguin pig pigeon pony rabbit raccoon rat raven rhino robin salmon
    seal shark sheep snail snake sparrow spider squid squirrel stork swan tiger toad trout
    turkey turtle walrus wasp weasel whale wolf worm zebra
    """
)

FOODS = words(
    """
    almond apple apricot avocado bacon bagel banana barley bean biscuit bread broccoli butter
    cabbage cake carrot celery cheese cherry chili chocolate cinnamon coconut cookie corn cream
    cucumber custard egg fig flour garlic ginger grape ham honey jam juice kiwi lemon lentil
    lettuce lime mango melon milk muffin mushroom mustard noodle nut oat olive onion orange
    pancake papaya pasta pastry peach peanut pear pepper pickle pie pizza plum popcorn potato
    pumpkin radish raisin rice salad salt sandwich sausage soup spinach sugar syrup tea toast
    tomato turnip vanilla vinegar waffle walnut yogurt
    """
)

PLACES = words(
    """
    airport attic bakery balcony bank barn bay beach bridge cabin canal castle cave cellar
    chapel cinema cliff clinic coast cottage desert dock farm ferry field forest fort garage
    garden glacier harbor hill hospital hotel island jungle kitchen lagoon lake library
    lighthouse market meadow mill mine moor mountain museum oasis ocean office orchard palace
    park path pier pond port prairie pyramid ranch reef river road school shed stable stadium
    station street studio swamp temple theater tower tunnel valley village vineyard volcano
    warehouse waterfall well zoo
    """
)

WORDS = (*OBJECTS, *ANIMALS, *FOODS, *PLACES)
"""All nouns, for tasks about words as such."""

ADJECTIVES = words(
    """
    ancient black blue brave bright broken brown calm careful cheap clean clever cold cozy
    crooked curious dark dirty dry dusty elegant empty famous fancy fresh friendly funny gentle
    giant golden gray green handsome happy heavy hollow huge humble icy jolly kind lazy light
    little lonely loud lovely lucky modern narrow neat noisy orderly pale perfect pink plain
    polite pretty proud purple quick quiet rare red rich rough round rusty sad shiny silent
    silver simple slim slow small smooth soft spare square steep sticky strange strong sturdy
    tame tasty thick thin tidy tiny tired tough ugly useful vast violet warm weak wet white wide
    wild wise wooden yellow young
    """
)

OF_THINGS = words(
    """
    ancient black blue bright brown cheap clean dirty dusty elegant fancy golden gray green
    heavy huge light little lovely modern pink plain pretty purple red rusty shiny silver simple
    small sturdy tiny white yellow
    """
)
"""Adjectives that go with any thing a person can own."""

VERBS = words(
    """
    accept admire auction check clean collect copy cover damage decorate deliver describe design
    destroy discover display dust enjoy examine fix guard hate improve inspect kick lift
    love measure mend mention miss notice own paint photograph polish protect pull purchase push
    raise receive remember remove repair request rescue return scratch share sketch store study
    test touch treasure unload unpack value want wash watch weigh
    """
)
"""Regular verbs that take any thing a person can own."""

"""Words of the embedded tokenizer: class names that it was trained on, and common words that users type."""

from __future__ import annotations

_TEXT = """
a an the of photo picture image object animal thing one two small big young old with and on in at from left right front back top side view
dog horse cat bird car person mouse hand chair airplane guitar
cow sheep pig goat deer fox wolf bear lion tiger zebra giraffe elephant monkey macaque rat rabbit fish fly bee ant spider snake
frog turtle duck chicken owl eagle parrot penguin whale dolphin shark insect butterfly puppy kitten pony squirrel hamster
man woman child boy girl face head body arm leg foot finger eye ear nose mouth tail paw wing beak neck knee elbow wrist ankle hip shoulder
bus train truck bicycle motorcycle boat ship plane table sofa bed lamp cup mug bottle plate bowl spoon fork knife book phone laptop
clock vase plant tree flower leaf apple banana orange bag box ball toy robot doll shoe hat shirt house door window building
red green blue yellow black white brown grey pink purple golden retriever instance of my
"""

COMMON_WORDS: tuple[str, ...] = tuple(dict.fromkeys(_TEXT.split()))
"""Every word here is a single token."""

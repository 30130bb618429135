"""The thresholds of a probe's verdict that are not in conf/verdict, each with its reason."""

INPUT_SIZE = (0.1, 10.0)  # root mean square of the inputs: initialisers take it to be 1, and bytes have some 130
DEAD_SIGMAS = 4.0  # symmetric weights without bias leave a unit off for every example with p <= 1/2, at any depth
DEAD_FAIL = 0.9  # and here hardly a unit is left
CONFIDENT = 2.0  # a loss this many times that of the uniform answer: the logits are large, and wrong
NOTHING_ADDED = 2.0**-8  # of a sum's size: bfloat16 has 8 bits, so that adding less changes nothing
# A change over depth that is at fault, downwards and upwards. Measured on relu layers of width 64, 400 steps of SGD at
# the best of 5 rates from .01 to 1, chance 2.30. Under N(0, 1/n) with 6 layers, x .12, the loss comes to .001; with 10,
# x .03, to 1.1; with 14, x .008, to 1.9; with 20, x .001, it stays at 2.27, though Adam comes to .5. Under N(0, 4/n)
# with 6 layers, x 8, it comes to .05; with 10, x 32, to .2 at the lowest rate; with 14, x 130, it diverges.
VANISHED, EXPLODED = 1 / 200, 30.0
# Layers that feed the same layer side by side, as query and value: the gradient goes through the one that has this much
# more of it, and what the others have is that of a softmax or a gate.
ASIDE = 3.0
DIP = 1e-3  # of the gradient before it and of that behind it: Adam's steps hide it, those of other optimizers do not

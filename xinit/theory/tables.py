"""What theory says of an activation, in rows for tables and in sentences."""

import math
from collections.abc import Sequence

import numpy as np

from xinit.networks.activations import Activation
from xinit.theory.courses import ABSORBED, BOUND, COSINE, Course, best, edge_for, holds, on_every_q, reached
from xinit.theory.mean_field import Edge, Phase, edge_at, edge_of_chaos, gains, phase, q_map
from xinit.theory.moments import mean_slope, moments

EDGE_Q = (0.05, 0.1, 0.3, 0.5, 1.0, 2.0)
ALIKE = 0.95  # a cosine at the last layer that is worth a sentence
MISLED = 0.5  # and the products' share of the depth that the asymptotic scale allows
TENDS = (1e-8, 2e-8)  # q at which the fall of a faint signal is compared with a power


def moment_rows(activation: Activation) -> list[dict[str, str]]:
    """Gaussian moments of f and f' at q = 1, and whether f is odd or even.

    >>> moment_rows(xinit.activations.relu())
    [{'E f': '0.3989', 'E f^2': '0.5000', "E f'^2": '0.5000', 'parity': 'neither'}]
    """
    m = moments(activation, 1.0)
    values = {"E f": m.mean, "E f^2": m.second, "E f'^2": m.slope_second}
    numbers = {name: f"{np.round(value, 4) + 0.0:.4f}" for name, value in values.items()}  # + 0.0: no minus zero
    return [numbers | {"parity": activation.parity or "neither"}]


def gain_rows(activation: Activation) -> list[dict[str, str]]:
    """Both gains at q = 1, and the phase that each leads to as the factor s_w of the weights, without biases.

    >>> [(row["factor"], row["value"], row["chi_1 there"]) for row in gain_rows(xinit.activations.relu())]
    [('1/sqrt(E f^2)', '1.4142', '1'), ('1/std f', '1.7129', '1.47')]
    """
    aims = "keeps the second moment of the pre-activations at 1", "normalises the activation about its mean"
    rows = []
    for name, aim, gain in zip(("1/sqrt(E f^2)", "1/std f"), aims, gains(activation), strict=True):
        settled = phase(activation, gain**2)
        rows.append(
            {
                "factor": name,
                "value": f"{gain:.4f}",
                "s_w^2": _five(gain**2),
                "leads to q*": number(settled.q_star) + (" (repels)" if _repels(activation, gain**2, settled) else ""),
                "chi_1 there": number(settled.chi_1),
                "meant for": aim,
            }
        )
    return rows


def edge_rows(activation: Activation, biases: Sequence[float]) -> list[dict[str, str]]:
    """The edge of chaos at some q*, and at some variances of the biases.

    >>> edge_rows(xinit.activations.relu(), biases=(0.0,))[0]["s_w^2"]
    '2'
    """
    if on_every_q(activation):
        only = _edge_row(edge_of_chaos(activation, 1.0), "the only point: it keeps whatever variance it is given")
        return [only | {"given": "any q*", "q*": "any"}]
    edges = [edge_of_chaos(activation, q) for q in EDGE_Q]
    rows = [_edge_row(edge, _remark(activation, edge)) for edge in edges]
    for bias_variance in biases:
        edge = edge_for(activation, bias_variance) or edge_at(activation, bias_variance)
        if edge:
            limit = "the limit of faint signals" if edge.q == 0 else ""
            rows.append(_edge_row(edge, _remark(activation, edge) or limit) | {"given": f"s_b^2 = {bias_variance:g}"})
        else:
            rows.append(
                {"given": f"s_b^2 = {bias_variance:g}", "verdict": "no point that a signal of variance 1 settles at"}
            )
    return rows


def _edge_row(edge: Edge, remark: str) -> dict[str, str]:
    cells = {"q*": f"{edge.q:.4g}", "s_w^2": _five(edge.weight_variance), "s_b^2": f"{edge.bias_variance:.4g}"}
    return {"given": f"q* = {edge.q:g}"} | cells | {"verdict": remark}


def _remark(activation: Activation, edge: Edge) -> str:
    if edge.bias_variance < 0:
        return "unreachable: E b^2 would be negative"
    if not reached(activation, edge):
        return "repels: a signal beside q* leaves it"
    slope = mean_slope(activation, edge.q)
    return f"in saturation: mean slope {slope:.2f} of its maximum" if slope < ABSORBED else ""


def course_rows(courses: Sequence[Course]) -> list[dict[str, str]]:
    """One line for each of some weights: where they tend to, and what they do over the depth.

    >>> from xinit.theory.courses import Weights, course
    >>> [row] = course_rows([course(xinit.activations.linear(), Weights("standard", 1 / 3), 5)])
    >>> row["signal x"], row["gradient x"], row["layers"]
    ('0.111', '0.111', '3')
    """
    return [
        {
            "weights": course.weights.name,
            "s_w^2": _five(course.weights.weight_variance),
            "s_b^2": f"{course.weights.bias_variance:g}",
            "q*": number(course.phase.q_star),
            "chi_1": number(course.phase.chi_1),
            "6 xi_c": number(course.phase.trainable_depth),
            **_products(course),
            "cosine": "-" if math.isnan(course.cosine) else f"{course.cosine:.3f}",
            "slope": "-" if math.isnan(course.slope) else f"{course.slope:.2f}",
        }
        for course in courses
    ]


def _products(course: Course) -> dict[str, str]:
    return {"signal x": number(course.signal), "gradient x": number(course.gradient), "layers": str(course.layers)}


def course_note(depth: int) -> str:
    """What the columns of `course_rows` mean.

    >>> course_note(50)[:66]
    'From pre-activations of variance 1 in layer 1 to layer 50. signal '
    """
    return (
        f"From pre-activations of variance 1 in layer 1 to layer {depth}. signal x: std of the pre-activations there; "
        f"gradient x: std of dL/dz in layer 1 over that in layer {depth}; layers: how many keep both within a factor "
        f"{BOUND:g}; cosine: of two inputs that have {COSINE:g} in layer 1; slope: mean of |f'| over its maximum."
    )


def phase_rows(asked: Course) -> list[dict[str, str]]:
    """All that is known of one point of the plane: where it tends to, and the products over a finite depth.

    >>> from xinit.theory.courses import Weights, course
    >>> [row] = phase_rows(course(xinit.activations.tanh(), Weights("asked", 0.5), 10))
    >>> row["phase"], row["chi_1"], row["xi_c"]
    ('ordered', '0.5', '1.44')
    """
    settled = asked.phase
    names = "q*", "chi_1", "c*", "xi_q", "xi_c", "xi_gradient", "6 xi_c"
    cells = dict(zip(names, map(number, (*settled, settled.trainable_depth)), strict=True))
    if not _settles(settled):
        cells["c*"] = "-"
    return [{"phase": settled.name} | cells | _products(asked)]


def _settles(settled: Phase) -> bool:
    return 0 < settled.q_star < math.inf


def _repels(activation: Activation, weight_variance: float, settled: Phase) -> bool:
    return _settles(settled) and not holds(activation, weight_variance, settled.q_star)


def reach_sentences(activation: Activation, asked: Course, depth: int) -> list[str]:
    """How deep a network of these weights may be: by the asymptotic scale, by the products, and why they differ.

    >>> from xinit.theory.courses import Weights, course
    >>> f = xinit.activations.tanh()
    >>> reach_sentences(f, course(f, Weights("asked", 0.5), 50), 50)[0].partition(".")[0]
    'Longest trainable depth: 3 layers'
    """
    scale = asked.phase.trainable_depth
    by_scale = "any depth (xi_c is infinite)" if math.isinf(scale) else f"{number(scale)} layers (6 xi_c)"
    by_products = f"all {depth} layers" if asked.layers == depth else _layers(asked.layers)
    longest = max(1, math.floor(min(scale, asked.layers)))
    lines = [
        f"Longest trainable depth: {'at least ' if longest == depth else ''}{_layers(longest)}. The asymptotic scale "
        f"allows {by_scale}, the products over a finite depth {by_products}."
    ]
    if asked.layers < MISLED * min(scale, depth):
        lines.append(
            f"The asymptotic scale misleads: over {depth} layers, on the way to q* = {number(asked.phase.q_star)}, the "
            f"signal changes by x {number(asked.signal)} and the gradient by x {number(asked.gradient)}"
            f"{_power(activation, asked)}."
        )
    if not _settles(asked.phase):
        fate = "dies out" if asked.phase.q_star == 0 else "grows without end"
        lines.append(
            f"The signal {fate}: there is no c*, and xi_c says how differences between inputs change along with it; "
            "their cosine may change more slowly."
        )
    return lines


def _power(activation: Activation, asked: Course) -> str:
    """The law of a faint signal that a critical map lets fall: with q - q' = k q^p it is ((p - 1) k l)^(-1 / (p - 1)).

    Nothing where there is no such power: the map is not critical, or its fall is beyond all powers.
    """
    if asked.phase.q_star != 0 or asked.phase.name != "critical":
        return ""
    q = np.array(TENDS)
    fall = q - q_map(activation, *asked.weights[1:], q)
    if np.any(fall < 1e-9 * q):
        return ""
    power = math.log2(fall[1] / fall[0])
    factor = (power - 1) * fall[0] / q[0] ** power
    exponent = 1 / (power - 1)
    law = f"1 / ({factor:.2g} l)" if abs(exponent - 1) < 0.01 else f"({factor:.2g} l)^-{exponent:.2g}"
    return f", since a critical map lets faint signals fall as q_l = {law}"


def sentences(activation: Activation, courses: Sequence[Course], depth: int) -> list[str]:
    """What to use for this activation over so many layers, and what to beware of.

    >>> from xinit.theory.courses import Weights, course
    >>> f = xinit.activations.relu()
    >>> sentences(f, [course(f, Weights("he", 2.0), 10)], 10)[0].partition(".")[0]
    'Use s_w^2 = 2, s_b^2 = 0 (he): over 10 layers the signal changes by x 1 and the gradient by x 1'
    """
    lines = [_use(best(courses), depth)]
    plain = [course for course in courses if course.weights.bias_variance == 0]
    if best(courses) not in plain:
        lines.append(_without_biases(best(plain), depth))
    lines += _beware(activation, best(courses))
    return lines


def _use(course: Course, depth: int) -> str:
    w, b = course.weights[1:]
    call = f'kernel_init=nn.initializers.variance_scaling({w:.4g}, "fan_in", "normal")'
    call += f", bias_init=nn.initializers.normal({math.sqrt(b):.4g})" if b else ""
    changes = f"the signal changes by x {number(course.signal)} and the gradient by x {number(course.gradient)}"
    what = f"s_w^2 = {_five(w)}, s_b^2 = {b:g} ({course.weights.name})"
    if course.layers >= depth:
        return f"Use {what}: over {depth} layers {changes}. {call}"
    return (
        f"None of these keeps signal and gradient within x {BOUND:g} over {depth} layers. {what} does for "
        f"{_layers(course.layers)}; over {depth} {changes}. {call}"
    )


def _without_biases(course: Course, depth: int) -> str:
    layers = f"all {depth} layers" if course.layers >= depth else _layers(course.layers)
    return (
        f"Without biases s_w^2 = {_five(course.weights.weight_variance)} ({course.weights.name}) is best, and keeps "
        f"both within x {BOUND:g} over {layers}."
    )


def _beware(activation: Activation, chosen: Course) -> list[str]:
    lines = []
    if chosen.cosine > ALIKE:
        lines.append(f"Inputs of cosine {COSINE:g} in layer 1 end at {chosen.cosine:.3f}: hard to tell apart.")
    mean = float(moments(activation, 1.0).mean)
    if abs(mean) > 1e-6:
        lines.append(
            f"The two factors differ because E f = {mean:.3g}: 1/std f is right only where the mean is taken out, as "
            "batch normalisation does; else the next layer's pre-activations feel the whole second moment."
        )
    edge = edge_at(activation, 0.0)
    if edge and (slope := mean_slope(activation, edge.q)) < ABSORBED:
        lines.append(
            f"chi_1 = 1 needs s_w^2 = {_five(edge.weight_variance)} and q* = {edge.q:.3g}, where the mean slope is "
            f"{slope:.2f} of its maximum: the units are saturated. Below it gradients shrink at "
            "every layer, so take another activation for deep networks."
        )
    if _repels(activation, chosen.weights.weight_variance, chosen.phase):
        lines.append(
            "These weights do not hold a signal: a little below q* it dies out, above it grows. Normalise, or use few "
            "layers."
        )
    return lines


def number(value: float) -> str:
    """Three digits.

    >>> number(1 / 3), number(1e-7), number(math.inf)
    ('0.333', '1.0e-07', 'inf')
    """
    return "0" if value == 0 else f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or math.isinf(value) else f"{value:.1e}"


def _layers(n: int) -> str:
    return f"{n} layer" + ("s" if n != 1 else "")


def _five(value: float) -> str:
    return f"{value:.5g}"

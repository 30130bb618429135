"""Rates chosen on validation, differences paired by seed, sentences, tables and the figure, on planted errors."""

import csv
import dataclasses
import io
import math
import subprocess
import sys

import numpy as np
import pytest

from xinit.analysis import comparison, comparison_tables
from xinit.analysis.comparison import Comparison, Trial, choose_rates, conclusions, differences
from xinit.analysis.comparison_tables import files, rows
from xinit.analysis.figures import comparison as comparison_figures
from xinit.core.errors import InputError

CHANCE = 0.8


def trials(errors, rate=0.1, first_seed=100, diverged=()):
    """One trial for each error of each scheme, at seeds that go up from `first_seed`."""
    return tuple(
        Trial(scheme, rate, first_seed + i, CHANCE if i in diverged else float(error), i in diverged)
        for scheme, values in errors.items()
        for i, error in enumerate(values)
    )


def compared(errors, search=None, rates=(0.01, 0.1, 1.0), **changed):
    """A comparison whose test errors are `errors`; unless told otherwise every scheme is best at rate 0.1."""
    schemes = tuple(errors)
    if search is None:
        at = {rate: 0.3 if rate == 0.1 else 0.5 for rate in rates}
        search = tuple(t for rate, error in at.items() for t in trials({s: [error] * 2 for s in schemes}, rate, 0))
    examples_T = np.array([0, 10, 100, 1000])
    fall_T = np.array([CHANCE, 0.7, 0.5, 0.0])
    curves = {s: (examples_T, np.maximum(fall_T, np.array(values)[:, None])) for s, values in errors.items()}
    plain = Comparison("planted", CHANCE, "100 steps of 10", schemes, rates, search, trials(errors), curves)
    return dataclasses.replace(plain, **changed)


def noisy(n, gap, noise=0.01, common=0.0, seed=0):
    """Errors of `near` and `far`, a true gap apart, with noise of their own and noise of the seed."""
    rng = np.random.default_rng(seed)
    shared = 0.4 + common * rng.standard_normal(n)
    near, far = (shared + noise * rng.standard_normal(n) for _ in range(2))
    return {"near": near, "far": far + gap}


# Choosing a rate


@pytest.mark.parametrize(
    ("means", "rate", "edge"),
    [((0.5, 0.3, 0.5), 0.1, ""), ((0.3, 0.4, 0.5), 0.01, "lowest"), ((0.5, 0.4, 0.3), 1.0, "highest"),
     ((0.5, 0.3, 0.3), 0.1, ""), ((0.3, 0.3, 0.3), 0.01, "lowest")],
)  # fmt: skip
@pytest.mark.parametrize("backwards", [False, True])
def test_the_best_rate_ties_and_edges(means, rate, edge, backwards):
    rates = (0.01, 0.1, 1.0)
    search = [t for r, mean in zip(rates, means, strict=True) for t in trials({"he": [mean - 0.1, mean + 0.1]}, r)]
    step = -1 if backwards else 1
    chosen = choose_rates(search[::step], ["he"], rates[::step])["he"]
    assert (chosen.learning_rate, chosen.edge) == (rate, edge)
    assert chosen.error == pytest.approx(min(means))


def test_one_rate_is_no_edge():
    assert choose_rates(trials({"he": [0.3]}), ["he"], [0.1])["he"].edge == ""


def test_the_same_errors_in_another_order_are_a_tie():
    search = trials({"he": [0.1, 0.2, 0.3]}, 0.1) + trials({"he": [0.3, 0.2, 0.1]}, 1.0)
    assert choose_rates(search, ["he"], [0.1, 1.0])["he"].learning_rate == 0.1


def test_an_unequal_grid_is_refused():
    with pytest.raises(ValueError, match=r"none came for he at 1\."):
        choose_rates(trials({"he": [0.3]}), ["he"], [0.1, 1.0])


def test_a_seed_of_the_search_cannot_score():
    with pytest.raises(ValueError, match="fresh seeds; 1 served"):
        compared({"he": [0.3]}, scores=trials({"he": [0.3]}, first_seed=1))


# Differences


def test_three_points_beside_one_of_noise_are_found_at_five_seeds():
    found = [differences(compared(noisy(5, 0.03, seed=seed)))[0] for seed in range(100)]
    assert all(one.interval.n == 5 for one in found)
    assert np.mean([one.real and one.interval.mean < 0 for one in found]) > 0.85


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_equal_schemes_are_seldom_called_different(n):
    """2 of 2 values lie on one side of zero half of the time; that is no difference."""
    called = [differences(compared(noisy(n, 0.0, seed=seed)))[0].real for seed in range(200)]
    assert np.mean(called) < 0.12


def test_pairing_takes_out_what_a_seed_does_to_both():
    made = compared(noisy(8, 0.02, noise=0.002, common=0.2))
    assert differences(made)[0].real
    by_error = sorted(made.scores, key=lambda t: (t.scheme, t.error))
    shuffled = tuple(t._replace(seed=100 + (3 * i if t.scheme == "far" else i) % 8) for i, t in enumerate(by_error))
    assert not differences(dataclasses.replace(made, scores=shuffled))[0].real


def test_pairs_go_by_seed_and_not_by_position():
    made = compared(noisy(8, 0.02, common=0.2))
    again = dataclasses.replace(made, scores=made.scores[::-1])
    assert differences(again) == differences(made)
    fewer = dataclasses.replace(made, scores=made.scores[1:])
    assert differences(fewer)[0].interval.n == 7


def test_every_pair_comes_once_in_the_order_given():
    found = differences(compared({"c": [0.1] * 3, "a": [0.2] * 3, "b": [0.3] * 3}))
    assert [pair[:2] for pair in found] == [("c", "a"), ("c", "b"), ("a", "b")]


@pytest.mark.parametrize("errors", [{"a": [0.1], "b": [0.7]}, {"a": [], "b": [0.7]}])
def test_fewer_than_two_shared_seeds_show_nothing(errors):
    made = compared(errors | {"c": [0.5] * 9})
    assert not any(pair.real for pair in differences(made))
    assert comparison.winner(made) is None
    assert any("nothing can be called real" in line for line in conclusions(made))
    assert rows(made)[0]["95 % interval"] == "-"


# Words


def test_the_conclusions_in_words():
    steps = 0.001 * np.arange(8)
    made = compared({"standard": 0.582 + steps, "xavier": 0.4 + steps[::-1], "he": 0.4005 + steps})
    told = conclusions(made)
    assert told[0].startswith("xavier beats standard by 18.2 points [17.8, 18.6")
    assert told[0].endswith("(n = 8 seeds, paired)")
    assert told[1].startswith("he beats standard by 18.1 points [18.1, 18.1]")
    assert told[2].startswith("xavier and he cannot be told apart: difference -0.1 points [-0.5, 0.")
    assert "about 0.15 of the 3 would be called real" in told[3]
    assert len(told) == 4


@pytest.mark.parametrize(("n", "warned"), [(2, True), (4, True), (5, False), (8, False)])
def test_few_seeds_are_warned_about(n, warned):
    told = conclusions(compared(noisy(n, 0.1)))
    assert any(line.startswith(f"only {n} seeds") for line in told) == warned
    assert any(("bootstrap" if n >= 8 else "Student's") in line for line in told)


def test_a_rate_at_the_edge_is_warned_about():
    search = tuple(t for rate, error in ((0.1, 0.5), (0.3, 0.4)) for t in trials({"he": [error]}, rate, 0))
    made = compared({"he": [0.3, 0.4]}, search, rates=(0.1, 0.3))
    assert conclusions(made) == [
        "the best rate of he, 0.3, is the highest of the grid: its score may be too pessimistic; widen learning_rates"
    ]
    assert rows(made)[0]["edge"] == "highest"


def test_diverged_runs_are_counted_where_they_happened():
    errors = {"he": [0.3] * 5, "xavier": [0.4] * 5}
    search = trials({"he": [0.3] * 3}, 0.1, 0) + trials({"he": [0.3] * 3}, 1.0, 0, diverged=(0, 2))
    search += tuple(t._replace(scheme="xavier", error=0.3, diverged=False) for t in search)
    scores = trials({"he": errors["he"]}, diverged=(4,)) + trials({"xavier": errors["xavier"]})
    made = compared(errors, search, rates=(0.1, 1.0), scores=scores)
    assert conclusions(made)[-1] == (
        "he diverged in 2 of 6 search runs and 1 of 5 scoring runs (learning rate 0.1, 1); "
        "each counts with the chance error, 80.0%"
    )
    assert [row["diverged"] for row in rows(made)] == ["1", "0"]
    assert comparison.score(made, "he").mean == pytest.approx((4 * 0.3 + CHANCE) / 5)
    assert not differences(made)[0].real


def test_a_row_in_words():
    assert rows(compared({"he": [0.30, 0.32, 0.34]}))[0] == {
        "scheme": "he", "learning rate": "0.1", "valid error": "30.0%", "test error": "32.0%",
        "95 % interval": "[27.0, 37.0]", "n": "3", "diverged": "0", "edge": "",
    }  # fmt: skip


def test_small_differences_get_the_decimals_they_need():
    made = compared({"he": 0.015 + np.array([1, 2, 3]) * 1e-4, "xavier": 0.0155 + np.array([1, 2, 3]) * 1e-4})
    assert conclusions(made)[0].startswith("he beats xavier by 0.05")
    assert rows(made)[0]["test error"] == "1.52%"


# Files


@pytest.mark.parametrize(
    ("name", "printed"),
    [("fan_in", r"fan\_in"), ("50%", r"50\%"), ("a&b", r"a\&b"), ("#1", r"\#1"), ("a\\b", r"a\textbackslash{}b"),
     ("$x^{2}$", r"\$x\textasciicircum{}\{2\}\$"), ("~a", r"\textasciitilde{}a"), ("a\nb", "a b"), ("he", "he"),
     ("pkg.module:my_init", r"pkg.module:my\_init"), ("<|>", r"\textless{}\textbar{}\textgreater{}")],
)  # fmt: skip
def test_names_in_latex(name, printed):
    assert comparison_tables.escape(name) == printed
    assert f"\n{printed} & 0.1 & " in comparison_tables.latex(compared({name: [0.1, 0.2]}))


@pytest.mark.parametrize(
    ("errors", "bold"),
    [({"near": 0.4, "far": 0.5}, {"near"}), ({"far": 0.5, "near": 0.4}, {"near"}), ({"near": 0.4, "far": 0.401}, set()),
     ({"near": 0.4, "alike": 0.401, "far": 0.5}, set()), ({"near": 0.4}, set())],
)  # fmt: skip
def test_only_what_is_really_the_best_is_bold(errors, bold):
    rng = np.random.default_rng(1)
    made = compared({scheme: mean + 0.01 * rng.standard_normal(8) for scheme, mean in errors.items()})
    lines = [line for line in files(made)["table.tex"].splitlines() if line.endswith(r"& 8 & 0 \\")]
    assert len(lines) == len(errors)
    assert {line.split()[0] for line in lines if r"\mathbf" in line} == bold
    assert all(r" \pm " in line for line in lines)


def test_a_title_of_several_lines_stays_a_comment():
    head, *_ = comparison_tables.latex(compared({"he": [0.3]}, title="one\ntwo")).partition("\\begin")
    assert all(line.startswith("%") for line in head.splitlines())


def test_the_csv_files_hold_every_number():
    made = compared({'a, "b"': [0.1, 0.2], "he": [0.3, 0.5]})
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in files(made).items() if ".csv" in name}
    assert len(tables["runs.csv"]) == len(made.search) + len(made.scores)
    for line, trial in zip(tables["runs.csv"], made.search + made.scores, strict=True):
        assert line["phase"] == ("score" if trial in made.scores else "search")
        assert (line["scheme"], float(line["learning_rate"]), int(line["seed"])) == trial[:3]
        assert (float(line["error"]), line["diverged"] == "True") == trial[3:]
    assert [line["scheme"] for line in tables["schemes.csv"]] == list(made.schemes)
    assert float(tables["schemes.csv"][1]["mean"]) == 0.4
    assert float(tables["differences.csv"][0]["mean"]) == pytest.approx(-0.25)
    assert tables["differences.csv"][0]["real"] == "False"


def test_everything_is_written_and_written_again_the_same(tmp_path):
    made = compared(noisy(5, 0.03))
    paths = comparison_figures.write(tmp_path / "new" / "folder", made)
    names = {
        "comparison.pdf",
        "comparison.png",
        "runs.csv",
        "schemes.csv",
        "differences.csv",
        "table.tex",
        "conclusions.txt",
    }
    assert {path.name for path in paths} == names == {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    first = [path.read_bytes() for path in paths]
    assert first[0].startswith(b"%PDF")
    assert first[1].startswith(b"\x89PNG")
    assert [path.read_bytes() for path in comparison_figures.write(tmp_path / "new" / "folder", made)] == first


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        comparison_figures.write(tmp_path / "file" / "folder", compared({"he": [0.3]}))


# The figure


def legend(figure, which):
    return [text.get_text() for text in figure.legends[which].get_texts()]


@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize(
    "names", [("he",), ("_hidden", "$x$", "a_b"), tuple(f"pkg.module:number_{i}" for i in range(8))]
)
def test_the_figure_shows_every_scheme(names, n):
    made = compared({name: np.linspace(0.3, 0.5, n) for name in names})
    figure = comparison_figures.figure(made)
    upper, lower = figure.axes
    assert figure.get_figwidth() == 3.35
    assert legend(figure, 0) == list(names)
    assert len(upper.lines) == 1 + 2 * len(names)  # chance; a line and the ring of the chosen rate
    assert len(lower.lines) == 1 + len(names)
    assert len(lower.collections) == (len(names) if n > 1 else 0)
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    assert not any(box.overlaps(axes.get_window_extent()) for box in boxes for axes in figure.axes)
    assert all(figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1 for box in boxes)


def test_what_is_drawn_is_what_was_measured():
    made = compared({"he": [0.3, 0.35], "xavier": [0.4, 0.5]})
    upper, lower = comparison_figures.figure(made).axes
    np.testing.assert_allclose(upper.lines[1].get_ydata(), [50, 30, 50])
    assert upper.lines[2].get_ydata() == pytest.approx([30])
    np.testing.assert_allclose(lower.lines[1].get_ydata(), [80, 70, 50, 32.5])
    assert [axes.lines[0].get_ydata()[0] for axes in (upper, lower)] == [80, 80]
    assert [label.get_text() for label in upper.get_xticklabels()] == ["0.01", "0.1", "1"]
    looks = {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in lower.lines[1:]}
    assert len(looks) == 2


def test_eight_schemes_differ_in_colour_and_in_marker():
    made = compared({str(i): [0.3] for i in range(8)})
    lines = comparison_figures.figure(made).axes[1].lines[1:]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 8


def test_a_diverged_run_is_a_cross_at_chance_and_stays_in_the_mean():
    search = trials({"he": [0.3] * 3}, 0.1, 0) + trials({"he": [0.5] * 3}, 1.0, 0, diverged=(1,))
    made = compared({"he": [0.3, 0.3]}, search, rates=(0.1, 1.0))
    made.curves["he"][1][1, 2:] = math.nan
    upper, lower = comparison_figures.figure(made).axes
    runs, crosses = (dots.get_offsets() for dots in upper.collections)
    assert len(runs) == 5
    np.testing.assert_allclose(crosses, [[1.0, 80.0]])
    assert upper.lines[1].get_ydata()[1] == pytest.approx(60)
    assert lower.lines[1].get_ydata()[-1] == pytest.approx((30 + 80) / 2)


@pytest.mark.parametrize(("least", "scale"), [(0.02, "log"), (0.2, "linear"), (0.0, "linear")])
def test_errors_far_below_chance_get_a_logarithmic_axis(least, scale):
    search = trials({"he": [least]}, 0.1, 0)
    figure = comparison_figures.figure(compared({"he": [least, least]}, search, rates=(0.1,)))
    assert [axes.get_yscale() for axes in figure.axes] == [scale, scale]
    figure.draw_without_rendering()


@pytest.mark.parametrize("name", ["analysis.intervals", "analysis.comparison", "analysis.figures.comparison"])
@pytest.mark.heavy
def test_nothing_heavy_is_imported(name):
    code = f"import sys, xinit.{name}; sys.exit(any(m in sys.modules for m in ('jax', 'flax', 'scipy', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("tell", [None, 4400])
def test_a_comparison_too_short_says_so_first(tell):
    first = conclusions(compared({"he": [0.8, 0.8], "xavier": [0.8, 0.79]}, tell=tell))[0]
    words = "too early to tell: no run has left chance after 100 steps of 10; by step 4,400 a sound network has"
    assert first.startswith(words if tell else "he and xavier cannot be told apart")

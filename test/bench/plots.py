"""plots.py - line charts as SVG, the same bytes for the same numbers."""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "secrets-store", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
                            "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})

from matplotlib import pyplot  # noqa: E402  (after the choice of the backend)


def lines(path, title, x_label, y_label, curves, log_x=False, log_y=False):
    """`curves`: (label, xs, ys, style) each; a style of matplotlib such as "o-"."""
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for label, xs, ys, style in curves:
        axes.plot(xs, ys, style, label=label, markersize=4, linewidth=1.5)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")

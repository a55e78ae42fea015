"""plots.py - line charts as SVG, the same bytes for the same numbers."""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "secrets-store", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
                            "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})

from matplotlib import pyplot  # noqa: E402  (after the choice of the backend)


def _draw(axes, y_label, curves, log_x, log_y):
    for label, xs, ys, style in curves:
        axes.plot(xs, ys, style, label=label, markersize=4, linewidth=1.5)
    axes.set(ylabel=y_label)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _save(figure, path):
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def lines(path, title, x_label, y_label, curves, log_x=False, log_y=False):
    """`curves`: (label, xs, ys, style) each; a style of matplotlib such as "o-"."""
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    _draw(axes, y_label, curves, log_x, log_y)
    axes.set(title=title, xlabel=x_label)
    axes.legend(frameon=False, fontsize=9)
    _save(figure, path)


def panels(path, title, x_label, parts):
    """Several charts with the same curves, on logarithmic axes but for a y that hardly changes. `parts`: (y_label, curves) each; the labels of the
    first are the legend."""
    rows = (len(parts) + 1) // 2
    figure, grid = pyplot.subplots(rows, 2, figsize=(9, 1 + 2.3 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat[len(parts):]:
        axes.axis("off")
    for axes, (y_label, curves) in zip(grid.flat, parts):
        values = [y for _, _, ys, _ in curves for y in ys]
        _draw(axes, y_label, curves, log_x=True, log_y=max(values) > 3 * min(values))
    figure.suptitle(title)
    figure.supxlabel(x_label, fontsize=10)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    _save(figure, path)

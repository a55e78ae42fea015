"""fit.py - the order of a measured curve: how y grows with x."""

import dataclasses
import math

TOLERANCE = 0.1  # an exponent of a linear curve is measured as at most 1 + TOLERANCE


def exponent(xs, ys):
    """The b of y = a * x^b: the slope of the straight line through the logarithms, by least squares."""
    return slope([math.log(x) for x in xs], [math.log(y) for y in ys])


def slope(xs, ys):
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)


@dataclasses.dataclass
class Order:
    whole: float  # the exponent of the whole curve
    upper: float  # of its last decade, where a part that is the same at all sizes counts least
    marginal: float  # what one more x adds there

    @property
    def worst(self):
        return max(self.whole, self.upper)

    @property
    def worse_than_linear(self):
        return self.worst > 1 + TOLERANCE

    @property
    def word(self):
        if self.worse_than_linear:
            return "worse than linear"
        if self.worst >= 1 - TOLERANCE:
            return "linear"
        return "constant" if self.worst <= TOLERANCE else "below linear"


def order(xs, ys):
    """Of values above zero, with at least two sizes in the last decade."""
    upper = [(x, y) for x, y in zip(xs, ys) if x * 10 >= max(xs)]
    assert len(upper) >= 2 and min(ys) > 0, (xs, ys)
    return Order(exponent(xs, ys), exponent(*zip(*upper)), slope(*zip(*upper)))


def median(values):
    return sorted(values)[len(values) // 2]

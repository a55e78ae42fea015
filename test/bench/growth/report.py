"""report.py - what the measured curves say: the order of each, and what one volume costs among many."""

from growth import cases, fit

EACH_LIMIT = 1.10  # what a mount may cost with many volumes mounted, in parts of one with few


def curves(entry):
    """{variant: {figure: Order}} of one growth; `entry`: {variant: result of run.run()}."""
    return {name: {figure: fit.order(result["sizes"], [point[figure] for point in result["points"]]) for figure in cases.FIGURES}
            for name, result in entry.items()}


def each_cpu(result):
    """(CPU of a mount and unmount with few volumes mounted, with many), ms: driver and provider."""
    return tuple(sum(result["each"][name][when] for name in ("driver_cpu_ms", "provider_cpu_ms")) for when in ("first", "last"))


def worse_than_linear(results):
    """(growth, figure, variant, Order) of each curve that is."""
    for growth, entry in results.items():
        for variant, orders in curves(entry).items():
            for figure, order in orders.items():
                if order.worse_than_linear:
                    yield growth, figure, variant, order


def show(growth, entry):
    """For the terminal."""
    print(f"\n{growth.title}")
    for variant, orders in curves(entry).items():
        result = entry[variant]
        print(f"  {variant}")
        for figure, (title, unit) in cases.FIGURES.items():
            first, last, order = result["points"][0][figure], result["points"][-1][figure], orders[figure]
            print(f"    {title + (', ' + unit if unit else ''):34}{first:12,.2f} at {result['sizes'][0]:<6,}{last:12,.2f} at {result['sizes'][-1]:<7,}"
                  f" exponent {order.whole:5.2f}, last decade {order.upper:5.2f}, one more {order.marginal:.3g}: {order.word}")
        if "each" in result:
            first, last = each_cpu(result)
            print(f"    {'a mount and unmount, CPU, ms':34}{first:12,.3f} at 10    {last:12,.3f} at {result['sizes'][-1]:<7,} {last / first:.2f} times"
                  + ("" if last <= EACH_LIMIT * first else ": MISSED"))


def good(results):
    """Prints what is bad."""
    found = False
    print()
    for growth, figure, variant, order in worse_than_linear(results):
        found = True
        print(f"Worse than linear: {growth}, {cases.FIGURES[figure][0]} ({variant}), exponents {order.whole:.2f} and {order.upper:.2f}")
    for variant, result in results.get("volumes", {}).items():
        first, last = each_cpu(result)
        if last > EACH_LIMIT * first:
            found = True
            print(f"A mount costs {last / first:.2f} times as much with {result['sizes'][-1]:,} volumes as with 10 ({variant})")
    if not found:
        print(f"No curve is worse than linear; a mount costs at most {EACH_LIMIT:.0%} with many volumes of what it costs with few.")
    return not found

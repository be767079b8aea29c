"""The data of figures: lines, intervals and texts from finished runs. `drawing` draws them.

figure: the parts of a figure; series: which runs a figure may compare, and their intervals. One module for each kind of figure:
curves (cmc, training), sweeps (fig3a, fig3b, distill), sources (sources, order), cues, forest (forest, families), systems.

Nothing here imports matplotlib, and nothing in `drawing` reads a run.
"""

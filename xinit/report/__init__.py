"""Runs, sweeps and studies as one HTML page each, from their folders alone: `python -m xinit.report RUN -o page.html`.

`page` holds what a page is made of and `charts` how its figures look; `run`, `sweep`, `several` and `study` say what is
on it. The figures are Vega-Lite's, whose script travels in the page; nothing of a page is fetched.
"""

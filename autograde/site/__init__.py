"""The course as a static web site: `python -m autograde site`, or `make site`.

`run` executes the solved lessons, once for each content; `pages` makes of each the page's notebook, from what students are given
and the outputs by cell id; `explorer` and `launch` what is live and what opens elsewhere; `theme` is a Sphinx extension and its
settings; `make` does all of it.
"""

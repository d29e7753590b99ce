"""Settings of the documentation; build it with ``make docs``."""

import os
import re
import sys
import warnings
from pathlib import Path
from types import FunctionType

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(1, str(Path(__file__).parent))

import thumbnails

import dfl_sklearn

project = "dfl_sklearn"
author = "The dfl_sklearn developers"
copyright = author
version = release = dfl_sklearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",  # copies MathJax into the pages: formulas need no network
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
default_role = "code"

# Links into other projects need the network; the build does not, unless asked.
if os.environ.get("DFL_SKLEARN_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }

# -- API pages -------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say it, with shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"


def api_sections():
    """Return the sections of the API page: each a title, and its names with their pages."""
    sections, title = [], None
    lines = Path(__file__).with_name("api.rst").read_text().splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch(r"=+", following):
            title = project if title is None else line
        name = re.fullmatch(r"   ([\w.]+)", line)
        if name:
            if not sections or sections[-1][0] != title:
                sections.append((title, []))
            page = f"api/generated/dfl_sklearn.{name[1]}"
            sections[-1][1].append((name[1].rpartition(".")[2], page))
    return sections


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what a class inherits from scikit-learn, torch or the standard library."""
    function = obj.fget if isinstance(obj, property) else obj
    function = getattr(function, "__wrapped__", function)
    if isinstance(function, FunctionType):
        return skip or not function.__module__.startswith("dfl_sklearn")
    return True


# -- gallery ---------------------------------------------------------------------------
# A figure on a page is shown by the page; plt.show() has nothing to open a window on.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "ignore_pattern": r"demo\.py|__init__\.py",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "gen_modules/backreferences",
    "doc_module": ("dfl_sklearn",),
    "reference_url": {"dfl_sklearn": None},
    "inspect_global_variables": False,
    "remove_config_comments": True,
    "show_memory": False,
    "download_all_examples": False,
    "plot_gallery": True,
    "abort_on_example_error": False,
}

# -- pages -----------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"dfl_sklearn {version}"
html_static_path = ["_static"]
html_css_files = ["dfl_sklearn.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"api_sections": api_sections()}  # for the sidebar of the API pages
html_sidebars = {
    "api": ["api-nav"],
    "api/generated/*": ["api-nav"],
    "index": [],
    "install": [],
    "changelog": [],
    "extending": [],
}
html_theme_options = {
    "logo": {"text": "dfl_sklearn"},
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "navigation_with_keys": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}

# The prompts of sessions are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def link_estimators_at_the_top(app, env, node, contnode):
    """Link ``dfl_sklearn.DFLRegressor`` to its page, which has the name of its subpackage."""
    name = node.get("reftarget", "").removeprefix("dfl_sklearn.")
    if node.get("refdomain") != "py" or name.split(".")[0] not in dfl_sklearn.__all__:
        return None
    return env.domains.python_domain.resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        f"dfl_sklearn.estimators.{name}",
        node,
        contnode,
    )


def setup(app):
    """Connect the hooks of this file."""
    app.connect("builder-inited", lambda app: thumbnails.draw(), priority=1)  # before the gallery
    app.connect("autodoc-skip-member", skip_foreign_members)
    app.connect("missing-reference", link_estimators_at_the_top)

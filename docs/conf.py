"""How Sphinx builds the documentation: `make docs`, into build/docs. It needs nothing from the network."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "smart-async"
project_copyright = "the smart-async contributors, Apache 2.0"
release = installed("smart-async")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    # Ours, in _ext:
    "directives",  # diagrams, and the pages that are made from the code
    "docstrings",  # docstrings as they are written here, and names that are documented elsewhere
    "pages",  # small things about pages
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["conformance/**", "_ext/**"]

# Headings are link targets, as they are where the repository is browsed.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# In docstrings a single backtick means code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "smart-async"
html_static_path = ["_static"]
html_css_files = ["smart.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

# A copied command comes without its prompt, and without what it printed.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

"""All of the project's own code that a callable reaches, as one digest and as its parts.

It is the answer of ``code_identity="callable_deps"``. :mod:`.walk` goes from the callable through
what is loaded; :mod:`.trees` and :mod:`.toplevel` read source text; :mod:`.origin` tells whose code
something is; :mod:`.lazy` follows imports that were not executed yet; :mod:`.pins` tells whether an
answer still holds.
"""

from consist.identity.reach.reached import Reached
from consist.identity.reach.remembered import Reach

__all__ = ["Reach", "Reached"]

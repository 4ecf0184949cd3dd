"""The HTTP contract, as one suite that every deployment passes.

A module makes a deployment by a module-scoped fixture `deployment`, its settings without their prefix, and a subclass
of `ApiContract`. Each class has a server process of its own; each test has pictures of its own.
"""

from tests.contracts.api.batches import BatchesContract
from tests.contracts.api.bodies import BodiesContract
from tests.contracts.api.copies import CopiesContract
from tests.contracts.api.document import DocumentContract
from tests.contracts.api.edits import EditsContract
from tests.contracts.api.errors import ErrorsContract
from tests.contracts.api.examples import ExamplesContract
from tests.contracts.api.files import FilesContract
from tests.contracts.api.filters import FiltersContract
from tests.contracts.api.images import ImagesContract
from tests.contracts.api.listing import ListingContract
from tests.contracts.api.models import ModelsContract
from tests.contracts.api.objects import ObjectsContract
from tests.contracts.api.search import SearchContract


class ApiContract(
    ImagesContract,
    BatchesContract,
    ListingContract,
    EditsContract,
    FilesContract,
    SearchContract,
    FiltersContract,
    ExamplesContract,
    CopiesContract,
    ObjectsContract,
    ModelsContract,
    ErrorsContract,
    BodiesContract,
    DocumentContract,
):
    """All of the contract."""

"""The HTTP contract, as three suites.

`EncoderContract` depends on the encoder, `IndexContract` on that and the index as well: deployments pass the one that
fits what is theirs. `RequestsContract` depends on neither (what is refused, how errors, files and the document look):
one deployment passes it for all.

A module makes a deployment by a module-scoped fixture `deployment`, its settings without their prefix, and a subclass
of a suite. Each class has a server process of its own; each test has pictures of its own.
"""

from tests.contracts.api.batches import BatchesContract, BatchRequestsContract
from tests.contracts.api.bodies import BodiesContract
from tests.contracts.api.copies import CopiesContract
from tests.contracts.api.document import DocumentContract
from tests.contracts.api.edits import EditRequestsContract, EditsContract
from tests.contracts.api.errors import ErrorsContract
from tests.contracts.api.examples import ExampleRequestsContract, ExamplesContract
from tests.contracts.api.files import FilesContract
from tests.contracts.api.filters import FilterRequestsContract, FiltersContract
from tests.contracts.api.groups import GroupRequestsContract, GroupsContract
from tests.contracts.api.images import ImageRequestsContract, ImagesContract
from tests.contracts.api.listing import ListingContract, ListingRequestsContract
from tests.contracts.api.models import ModelRequestsContract, ModelsContract
from tests.contracts.api.names import NamedBatchesContract, NamesContract, RenamesContract
from tests.contracts.api.objects import ObjectRequestsContract, ObjectsContract
from tests.contracts.api.scores import RankingRequestsContract, ScoresContract
from tests.contracts.api.search import SearchContract, SearchRequestsContract


class EncoderContract(SearchContract, ExamplesContract, ModelsContract):
    """What depends on the encoder."""


class IndexContract(
    ImagesContract,
    BatchesContract,
    ListingContract,
    EditsContract,
    NamesContract,
    RenamesContract,
    NamedBatchesContract,
    FiltersContract,
    CopiesContract,
    ObjectsContract,
    GroupsContract,
    ScoresContract,
    EncoderContract,
):
    """What depends on the index, or on the models."""


class RequestsContract(
    ImageRequestsContract,
    BatchRequestsContract,
    ListingRequestsContract,
    EditRequestsContract,
    FilesContract,
    SearchRequestsContract,
    FilterRequestsContract,
    ExampleRequestsContract,
    GroupRequestsContract,
    RankingRequestsContract,
    ObjectRequestsContract,
    ModelRequestsContract,
    ErrorsContract,
    BodiesContract,
    DocumentContract,
):
    """What depends on neither."""

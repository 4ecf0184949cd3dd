"""What all searches do with their ranking, ready to be called."""

from application.arrange_matches import ArrangeMatches
from application.learn_labels import LearnLabels
from application.rerank_matches import RerankMatches
from domain.metadata import MetadataTypes
from domain.ports.similarity_repository import SimilarityRepository


def arranging(repository: SimilarityRepository, types: MetadataTypes) -> ArrangeMatches:
    labels = LearnLabels(repository=repository, types=types)
    rerank = RerankMatches(repository=repository, labels=labels)
    return ArrangeMatches(repository=repository, types=types, rerank=rerank)

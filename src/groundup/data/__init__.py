"""Any text to documents, token shards on disk, and batches that one integer determines."""

from groundup.data.batch import IGNORED, Batch, Source
from groundup.data.batches import Batches
from groundup.data.corpora import CORPORA, Corpus, corpus_files
from groundup.data.documents import Document, read_documents
from groundup.data.prepare import PreparedData, open_prepared, prepare
from groundup.data.tokens import TokenSplit, open_tokens

__all__ = [
    "CORPORA",
    "IGNORED",
    "Batch",
    "Batches",
    "Corpus",
    "Document",
    "PreparedData",
    "Source",
    "TokenSplit",
    "corpus_files",
    "open_prepared",
    "open_tokens",
    "prepare",
    "read_documents",
]

"""Any text to documents, token shards on disk, and batches that one integer determines."""

from groundup.data.batch import IGNORED, Batch, Source
from groundup.data.batches import Batches
from groundup.data.corpora import CORPORA, Corpus, corpus_files
from groundup.data.dialogue import Dialogue, PlainText, Preference
from groundup.data.dialogue_folder import DialogueData, open_dialogues
from groundup.data.dialogues import prepare_dialogues
from groundup.data.documents import Document, read_documents
from groundup.data.examples import Example
from groundup.data.labelled import prepare_labelled
from groundup.data.labelled_folder import LabelledData, open_labelled
from groundup.data.prepare import PreparedData, open_prepared, prepare
from groundup.data.record_sets import RECORD_SETS, DialogueSet, LabelledSet, RecordSet
from groundup.data.tokens import TokenSplit, open_tokens

__all__ = [
    "CORPORA",
    "IGNORED",
    "RECORD_SETS",
    "Batch",
    "Batches",
    "Corpus",
    "Dialogue",
    "DialogueData",
    "DialogueSet",
    "Document",
    "Example",
    "LabelledData",
    "LabelledSet",
    "PlainText",
    "Preference",
    "PreparedData",
    "RecordSet",
    "Source",
    "TokenSplit",
    "corpus_files",
    "open_dialogues",
    "open_labelled",
    "open_prepared",
    "open_tokens",
    "prepare",
    "prepare_dialogues",
    "prepare_labelled",
    "read_documents",
]

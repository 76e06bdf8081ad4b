"""A session as one file: the format is described in ``docs/howto/sessions.md``."""

from service.portable.errors import PortableError
from service.portable.importing import import_session
from service.portable.reading import SessionFile, opened
from service.portable.writing import write_session

__all__ = ["PortableError", "SessionFile", "import_session", "opened", "write_session"]

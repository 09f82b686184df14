"""archiver keeps the messages of Easemob / Agora Chat apps in a SQL database and proves what it has."""

__version__ = "0.1.0"

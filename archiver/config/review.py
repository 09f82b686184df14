"""[review]: how reading is watched, and how the page is reached. Without `listen` it is for one person, by a link.

The file of the proxy's secret is named here and read by the page alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from archiver.config import lists, values
from archiver.config.section import Section

Names = Annotated[tuple[str, ...], PlainValidator(lists.parse_names)]
ROLES = ("readers", "officers", "auditors", "operators")


class Review(Section):
    """`peers`: addresses of the proxy. The four lists name groups of the proxy, by the role that they give."""

    looks: bool = True
    require_case: bool = False
    listen: Annotated[str | None, AfterValidator(lambda value: value and values.address(value))] = None
    url: Annotated[str | None, AfterValidator(lambda value: value and values.site_url(value))] = None
    peers: Annotated[tuple[str, ...], PlainValidator(lists.parse_peers)] = ("127.0.0.1",)
    user_header: Annotated[str, AfterValidator(values.header_name)] = "X-Forwarded-User"
    groups_header: Annotated[str, AfterValidator(values.header_name)] = "X-Forwarded-Groups"
    secret_file: Path | None = None
    readers: Names = ()
    officers: Names = ()
    auditors: Names = ()
    operators: Names = ()

    @property
    def host(self) -> str:
        return (self.listen or "").rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int((self.listen or "0").rpartition(":")[2])

    @property
    def groups(self) -> dict[str, str]:
        """The role that a group gives, by its name; a group of several lists has its roles parted by commas."""
        roles: dict[str, list[str]] = {}
        for name in ROLES:
            for group in getattr(self, name):
                roles.setdefault(group, []).append(name.removesuffix("s"))
        return {group: ",".join(given) for group, given in roles.items()}

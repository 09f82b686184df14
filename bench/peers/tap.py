"""A Singer tap for the same messages, by the Singer SDK; runs in an environment of its own."""

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import JSONPathPaginator

_BODY = th.ObjectType(
    th.Property("type", th.StringType),
    th.Property("msg", th.StringType),
    th.Property("url", th.StringType),
    th.Property("filename", th.StringType),
    th.Property("secret", th.StringType),
    th.Property("file_length", th.IntegerType),
    additional_properties=True,
)


class Messages(RESTStream):
    """One app's messages, by query and cursor."""

    name = "messages"
    path = "/chatmessages"
    primary_keys = ("msg_id",)
    replication_key = "timestamp"
    is_sorted = True
    records_jsonpath = "$.entities[*]"
    schema = th.PropertiesList(
        th.Property("msg_id", th.StringType, required=True),
        th.Property("uuid", th.StringType),
        th.Property("type", th.StringType),
        th.Property("created", th.IntegerType),
        th.Property("modified", th.IntegerType),
        th.Property("timestamp", th.IntegerType),
        th.Property("from", th.StringType),
        th.Property("to", th.StringType),
        th.Property("chat_type", th.StringType),
        th.Property("payload", th.ObjectType(th.Property("bodies", th.ArrayType(_BODY)), additional_properties=True)),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return self.config["url"]

    def get_new_paginator(self) -> JSONPathPaginator:
        return JSONPathPaginator("$.cursor")

    def get_url_params(self, context: object, next_page_token: str | None) -> dict[str, object]:
        since = self.get_starting_replication_key_value(context) or 0
        asked = {"ql": f"select * where timestamp > {since} order by timestamp asc", "limit": 1000}
        return asked | ({"cursor": next_page_token} if next_page_token else {})


class TapChat(Tap):
    """The tap."""

    name = "tap-chat"
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()

    def discover_streams(self) -> list[Messages]:
        return [Messages(self)]


if __name__ == "__main__":
    TapChat.cli()

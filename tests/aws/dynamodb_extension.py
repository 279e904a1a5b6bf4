"""What moto's DynamoDB writes and Amazon's refuses: a value that a key of an index cannot have.

Amazon refuses an empty string and a value of another type, NULL among them, in PutItem and UpdateItem (DynamoDB developer
guide, "Global secondary indexes"; DynamoDB Local does the same, but for a number in UpdateItem). moto knows the empty string in PutItem alone.
"""

import copy

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

moto_put_item = Table.put_item
moto_update_item = DynamoDBBackend.update_item


def install():
    """Put the extension into moto."""
    Table.put_item = put_item
    DynamoDBBackend.update_item = update_item


def put_item(table, item_attrs, *args, **kwargs):
    check_index_keys(table, item_attrs)
    return moto_put_item(table, item_attrs, *args, **kwargs)


def update_item(backend, table_name, key, *args, **kwargs):
    """moto changes the item in place, so what must not be is taken back."""
    table = backend.get_table(table_name)
    hash_value, range_value = backend.get_keys_value(table, key)
    item = table.get_item(hash_value, range_value)
    before = copy.deepcopy(item.attrs) if item else None
    updated = moto_update_item(backend, table_name, key, *args, **kwargs)
    try:
        check_index_keys(table, updated.to_json()["Attributes"])
    except MockValidationException:
        if before is None:
            table.delete_item(hash_value, range_value)
        else:
            updated.attrs = before
        raise
    return updated


def check_index_keys(table, attributes):
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table.attr}
    for index in table.indexes + table.global_indexes:
        for name in (part["AttributeName"] for part in index.schema):
            for actual, value in attributes.get(name, {}).items():
                if actual != types[name]:
                    raise MockValidationException(
                        f"One or more parameter values were invalid: Type mismatch for Index Key {name} "
                        f"Expected: {types[name]} Actual: {actual} IndexName: {index.name}"
                    )
                if value == "":
                    raise MockValidationException(
                        "One or more parameter values are not valid. A value specified for a secondary index key is not "
                        "supported. The AttributeValue for a key attribute cannot contain an empty string value. "
                        f"IndexName: {index.name}, IndexKey: {name}"
                    )

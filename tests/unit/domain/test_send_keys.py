from stentor.domain.ids import SendIds, customer_id, new_id, send_keys
from stentor.domain.vocabulary import ChannelKind


def test_execution_and_customer_of_send_ids_are_read_back_in_order():
    executions = [new_id(), new_id()]
    keys = [(execution, customer_id(execution, f"person {number}")) for number in range(40) for execution in executions]
    ids = SendIds(bytes(32))

    texts = [ids.encode(execution, customer, ChannelKind.SMS) for execution, customer in keys]

    assert send_keys(texts) == keys


def test_no_send_ids_have_no_keys():
    assert send_keys([]) == []

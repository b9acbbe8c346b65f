"""What is known of people, and the stages and microsegments of a model that there is none of."""

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.reading import Answer
from stentor.api.wire.classic.registry import Category
from stentor.api.wire.classic.segments import OfChange
from stentor.channels.partners.attributes import is_field

model = Category("model")


class AttributeBody(Answer, frozen=True):
    real_field_name: str
    description: str


@model.get("GetCustomerAttributeList")
async def get_customer_attribute_list(call: Call) -> list[AttributeBody]:
    """What the client may pull of people, on any of its channels."""
    return [
        AttributeBody(
            real_field_name=name, description="A field of every customer" if is_field(name) else "An attribute"
        )
        for name in call.granted()
    ]


model.empty("GetLifecycleStageList")
model.empty("GetMicrosegmentList")
model.empty("GetMicrosegmentChangers", OfChange)

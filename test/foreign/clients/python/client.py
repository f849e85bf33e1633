"""Makes calls with clients generated from Trireme's contracts.

Each line of standard input is a call as JSON, each line of standard output its answer: see
../program.ts for both. The standard packages for google.rpc, health and reflection are imported as
well, so that a contract registered twice would fail here.
"""

import importlib
import json
import pathlib
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

# The modules of packages that are not generated from the tree.
STANDARD = {
    "grpc.health.v1.Health": (health_pb2, health_pb2_grpc),
    "grpc.reflection.v1alpha.ServerReflection": (reflection_pb2, reflection_pb2_grpc),
}


def generated_modules(folder):
    """Every generated module below folder, imported, by the full names of its services."""
    found = {}
    for path in sorted(folder.glob("trireme/**/*_pb2.py")):
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        messages = importlib.import_module(name)
        stubs = importlib.import_module(name + "_grpc")
        for service in messages.DESCRIPTOR.services_by_name.values():
            found[service.full_name] = (messages, stubs)
    return found


class Caller:
    def __init__(self, channel, modules):
        self.channel = channel
        self.modules = modules

    def invoke(self, call):
        """Errors raised are faults of the caller: what the server says is in the answer."""
        service_name, method_name = call["method"].split("/")
        messages, stubs = self.modules[service_name]
        service = messages.DESCRIPTOR.services_by_name[service_name.rpartition(".")[2]]
        method = service.methods_by_name[method_name]
        stub = getattr(stubs, service.name + "Stub")(self.channel)
        request_class = message_factory.GetMessageClass(method.input_type)
        requests = [json_format.ParseDict(each, request_class()) for each in call["requests"]]
        options = {
            "timeout": call["deadlineMillis"] / 1000,
            "metadata": tuple(call["metadata"].items()),
        }
        responses = []
        try:
            send = getattr(stub, method_name)
            sent = iter(requests) if method.client_streaming else only(requests)
            result = send(sent, **options)
            if method.server_streaming:
                receive(result, call["take"], responses)
            else:
                responses.append(result)
        except grpc.RpcError as error:
            return answer(responses, error)
        return answer(responses)


def only(requests):
    (request,) = requests
    return request


def receive(stream, take, responses):
    """Reads until the stream ends or `take` messages have come; 0: until it ends."""
    for response in stream:
        responses.append(response)
        if len(responses) == take:
            stream.cancel()
            return


def answer(responses, error=None):
    # None where the trailer grpc-status-details-bin is missing.
    model = None if error is None else rpc_status.from_call(error)
    return {
        "code": 0 if error is None else error.code().value[0],
        "message": "" if error is None else error.details(),
        "details": [detail(each) for each in (model.details if model else [])],
        "responses": [json_format.MessageToDict(each) for each in responses],
    }


def detail(packed):
    name = packed.TypeName()
    described = descriptor_pool.Default().FindMessageTypeByName(name)
    message = message_factory.GetMessageClass(described)()
    packed.Unpack(message)
    return {"type": name, "value": json_format.MessageToDict(message)}


def main(generated, address, ca, certificate, key):
    read = lambda path: pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    folder = pathlib.Path(generated)
    sys.path.insert(0, generated)
    modules = {**generated_modules(folder), **STANDARD}
    with grpc.secure_channel(address, credentials) as channel:
        caller = Caller(channel, modules)
        for line in sys.stdin:
            print(json.dumps(caller.invoke(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

/** What becomes of the fields of the group resource.k8s.io's kinds. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const clients = "schedulers and drivers that run in the cluster as clients";
const status = "information that its owner writes and clients show";
const allocates = (what: string) =>
  warned("kind", `the scheduler of this cluster allocates no devices, ${what}`);

export const resourceFields: SupportTable = {
  "trireme.resource.v1.DeviceClass": {
    ...behaves(address, "apiVersion metadata"),
    ...allocates("only one of your own acts on the class"),
    ...behaves(clients, "spec"),
  },
  "trireme.resource.v1.DeviceClassSpec": behaves(clients, "selectors config"),
  "trireme.resource.v1.DeviceClassConfiguration": behaves(clients, "opaque"),
  "trireme.resource.v1.DeviceSelector": behaves(clients, "cel"),
  "trireme.resource.v1.CELDeviceSelector": behaves(clients, "expression"),
  "trireme.resource.v1.OpaqueDeviceConfiguration": behaves(clients, "driver parameters"),

  "trireme.resource.v1.ResourceClaim": {
    ...behaves(address, "apiVersion metadata"),
    ...allocates("only one of your own acts on the claim"),
    ...behaves(clients, "spec status"),
  },
  "trireme.resource.v1.ResourceClaimSpec": behaves(clients, "devices"),
  "trireme.resource.v1.DeviceClaim": behaves(clients, "requests constraints config"),
  "trireme.resource.v1.DeviceRequest": behaves(clients, "name exactly firstAvailable"),
  "trireme.resource.v1.ExactDeviceRequest": {
    ...behaves(clients, "deviceClassName selectors allocationMode count tolerations"),
    ...behaves("admission, which asks for the namespace's label", "adminAccess"),
  },
  "trireme.resource.v1.DeviceSubRequest": behaves(
    clients,
    "name deviceClassName selectors allocationMode count tolerations",
  ),
  "trireme.resource.v1.DeviceToleration": behaves(
    clients,
    "key operator value effect tolerationSeconds",
  ),
  "trireme.resource.v1.DeviceConstraint": behaves(clients, "requests matchAttribute"),
  "trireme.resource.v1.DeviceClaimConfiguration": behaves(clients, "requests opaque"),
  "trireme.resource.v1.ResourceClaimStatus": behaves(status, "allocation reservedFor devices"),
  "trireme.resource.v1.ResourceClaimConsumerReference": behaves(
    status,
    "apiGroup resource name uid",
  ),
  "trireme.resource.v1.AllocationResult": behaves(status, "devices nodeSelector"),
  "trireme.resource.v1.DeviceAllocationResult": behaves(status, "results config"),
  "trireme.resource.v1.DeviceRequestAllocationResult": {
    ...behaves(status, "request driver pool device tolerations"),
    ...behaves("admission, which asks for the namespace's label", "adminAccess"),
  },
  "trireme.resource.v1.DeviceAllocationConfiguration": behaves(status, "source requests opaque"),
  "trireme.resource.v1.AllocatedDeviceStatus": behaves(
    status,
    "driver pool device conditions data networkData",
  ),
  "trireme.resource.v1.NetworkDeviceData": behaves(status, "interfaceName ips hardwareAddress"),

  "trireme.resource.v1.ResourceClaimTemplate": {
    ...behaves(address, "apiVersion metadata"),
    ...allocates("and no controller of it makes claims from the template"),
    ...behaves(clients, "spec"),
  },
  "trireme.resource.v1.ResourceClaimTemplateSpec": behaves(clients, "metadata spec"),

  "trireme.resource.v1.ResourceSlice": {
    ...behaves(address, "apiVersion metadata"),
    ...allocates("only one of your own acts on the slice"),
    ...behaves(clients, "spec"),
  },
  "trireme.resource.v1.ResourceSliceSpec": behaves(
    clients,
    "driver pool nodeName nodeSelector allNodes devices",
  ),
  "trireme.resource.v1.ResourcePool": behaves(clients, "name generation resourceSliceCount"),
  "trireme.resource.v1.Device": behaves(clients, "name attributes capacity"),
  "trireme.resource.v1.DeviceAttribute": behaves(clients, "int bool string version"),
  "trireme.resource.v1.DeviceCapacity": behaves(clients, "value"),
};

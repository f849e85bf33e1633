/** What becomes of the fields of an APIService. */
import { behaves, refused, type SupportTable } from "../machinery/field-support.ts";

const information = "information for clients";

export const apiRegistrationFields: SupportTable = {
  "trireme.apiregistration.v1.APIService": behaves(
    information,
    "apiVersion kind metadata spec status",
  ),
  "trireme.apiregistration.v1.APIServiceSpec": {
    ...behaves(information, "group version groupPriorityMinimum versionPriority"),
    ...refused("service", "validation: no requests are passed on to services"),
    ...refused("insecureSkipTLSVerify caBundle", "the verb create: all are local"),
  },
  "trireme.apiregistration.v1.APIServiceStatus": behaves(information, "conditions"),
  "trireme.apiregistration.v1.APIServiceCondition": behaves(
    information,
    "type status lastTransitionTime reason message",
  ),
};

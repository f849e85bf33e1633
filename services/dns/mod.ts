export { ClusterDns } from "./cluster-dns.ts";

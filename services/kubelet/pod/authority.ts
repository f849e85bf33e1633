/** Host and port as in a URL, where an address of IPv6 stands in brackets. */
export function authorityOf(host: string, port: number | undefined): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

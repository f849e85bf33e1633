let second = Number.NaN;
let text = "";

/** The time as the header `date` has it (RFC 9110 section 5.6.7); made once a second. */
export function httpDate(millis: number): string {
  const now = Math.floor(millis / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}

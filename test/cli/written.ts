/** What `run` writes to standard output and error. */
export async function written(run: () => Promise<void>): Promise<{ out: string; err: string }> {
  const [out, err] = [captured(process.stdout), captured(process.stderr)];
  try {
    await run();
  } finally {
    out.release();
    err.release();
  }
  return { out: out.text(), err: err.text() };
}

/** Keeps the texts that are written; bytes pass, they are the test runner's own. */
function captured(stream: NodeJS.WriteStream) {
  const texts: string[] = [];
  const write = stream.write.bind(stream);
  stream.write = ((chunk: string | Uint8Array) =>
    typeof chunk === "string" ? texts.push(chunk) > 0 : write(chunk)) as typeof stream.write;
  return {
    text: () => texts.join(""),
    release: () => {
      stream.write = write;
    },
  };
}

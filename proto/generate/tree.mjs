export function writeTree() {}
